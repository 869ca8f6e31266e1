// Names a picture with a binary network:
//
//   classify MODEL.tflite PICTURE.ppm [MEAN STD]
//
// PICTURE is a binary PPM or PGM of 8 bits and of the network's size. A network of float32
// takes (pixel / 255 - MEAN) / STD, each of them one number for each channel, such as
// 0.49,0.48,0.44 (0 and 1 unless given); one of uint8 takes pixels. A file's own, with its
// size and the names of its classes, are what `python -m r2b_runtime info MODEL.tflite`
// prints. Prints the five likeliest classes by number with their scores, and the median
// time of 20 runs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "network.h"

namespace {

constexpr int kNumRuns = 20;

// A picture as it lies in the file.
struct Picture {
  int width = 0, height = 0, channels = 0;
  std::vector<unsigned char> pixels;
};

// A number of a head, before which there may be lines of comment.
int ReadNumber(std::istream& file) {
  while ((file >> std::ws).peek() == '#')
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  int number = 0;
  file >> number;
  return number;
}

Picture ReadPicture(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("There is no picture " + path + ".");
  std::string magic;
  file >> magic;
  Picture picture;
  picture.width = ReadNumber(file);
  picture.height = ReadNumber(file);
  const int largest = ReadNumber(file);
  picture.channels = magic == "P6" ? 3 : 1;
  if (!file || (magic != "P5" && magic != "P6") || largest != 255)
    throw std::runtime_error(path +
                             " is no PPM or PGM picture of 8 bits: convert it, with "
                             "ImageMagick's `convert` for one.");
  file.get();
  picture.pixels.assign(std::istreambuf_iterator<char>(file), {});
  return picture;
}

// "0.49,0.48,0.44" as numbers; `name` says what they are.
std::vector<double> ReadNumbers(const std::string& name, const std::string& text) {
  std::vector<double> numbers;
  const char* next = text.c_str();
  while (true) {
    char* end;
    numbers.push_back(std::strtod(next, &end));
    if (end == next || (*end != ',' && *end != '\0'))
      throw std::runtime_error(name + " is " + text +
                               ", expected one number for each " +
                               "channel with commas between, such as 0.49,0.48,0.44.");
    if (*end == '\0') return numbers;
    next = end + 1;
  }
}

void CheckFits(const Network& network, const Picture& picture) {
  if (picture.height != network.height() || picture.width != network.width() ||
      picture.channels != network.channels())
    throw std::runtime_error(
        "The picture has another size than the network's " +
        std::to_string(network.width()) + "x" + std::to_string(network.height()) +
        ", " + std::to_string(network.channels()) + " channels: scale it.");
}

void PrintBest(const std::vector<float>& scores) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min<size_t>(order.size(), 5));
  for (size_t index : order) std::printf("class %zu  %.6f\n", index, scores[index]);
}

void Run(int count, char** arguments) {
  if (count != 3 && count != 5)
    throw std::runtime_error("usage: classify MODEL.tflite PICTURE.ppm [MEAN STD]");
  std::vector<double> mean, std;
  if (count == 5) {
    mean = ReadNumbers("MEAN", arguments[3]);
    std = ReadNumbers("STD", arguments[4]);
  }
  const Picture picture = ReadPicture(arguments[2]);
  Network network(arguments[1]);
  CheckFits(network, picture);

  std::vector<float> scores;
  std::vector<double> times;
  for (int run = 0; run < kNumRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    scores = network.Predict(picture.pixels.data(), picture.pixels.size(), mean, std);
    const std::chrono::duration<double, std::milli> time =
        std::chrono::steady_clock::now() - start;
    times.push_back(time.count());
  }
  std::nth_element(times.begin(), times.begin() + kNumRuns / 2, times.end());
  PrintBest(scores);
  std::printf("%.3f ms\n", times[kNumRuns / 2]);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    Run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
