// A network in LiteRT, whose operators run in r2b_delegate: from pixels to scores.
#ifndef R2B_EXAMPLES_NETWORK_H_
#define R2B_EXAMPLES_NETWORK_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

class Network {
 public:
  // Reads a .tflite file with one input (batch, height, width, channels) of float32 or
  // uint8 and one output of float32. Throws std::runtime_error where it cannot.
  explicit Network(const std::string& path);
  ~Network();

  int height() const;
  int width() const;
  int channels() const;

  // Scores of one picture, `height * width * channels` pixels, row by row. A network of
  // float32 sees (pixel / 255 - mean) / std, with the model card's mean and std of each
  // channel, or pixel / 255 without them; one of uint8 sees the pixels. Throws
  // std::runtime_error where there are more or fewer pixels or numbers, where a number is
  // none to calculate with, or where the network cannot be run.
  std::vector<float> Predict(const unsigned char* pixels, size_t count,
                             const std::vector<double>& mean = {},
                             const std::vector<double>& std = {});

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

#endif  // R2B_EXAMPLES_NETWORK_H_
