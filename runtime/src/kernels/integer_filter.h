// What convolutions of bytes read of a filter, packed for vectors of every width.
//
// In each group of channels there are the 32-bit biases, then for each run of a patch its
// weights, four by four, [four][channel of the group][weight of four]: a run is filled up
// with weights of zero, as are channels past the last.
//
// Where an instruction set adds up products in 16 bits, it does so as long as the weights
// allow, a stretch of fours, before it adds these sums to those of 32 bits. Each half of
// a channel's lane takes two weights of a four. Its sum is from -255 times the magnitudes
// of the negative ones to 255 times the positive ones: it starts with an offset that puts
// the first of them at the least that 16 bits hold, and the packed bias makes up for it.
// The lengths of the stretches then follow the biases, and there are before each its
// offsets, [channel of the group][half].
#ifndef R2B_KERNELS_INTEGER_FILTER_H_
#define R2B_KERNELS_INTEGER_FILTER_H_

#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "vector_loops.h"

namespace r2b {
namespace {

// Of a half's weights in a stretch: 255 times them are 65535.
constexpr int kMostMagnitude = 257;
constexpr int kMostFours = 255;  // lengths are bytes
// Weights are no larger, so any two fours are a stretch.
constexpr int kStretchWeightLimit = 63;

inline int most_stretches(int num_runs, int run_length) {
  return num_runs * divide_up(divide_up(run_length, 4), 2);
}

// The weights of channels [first, end), zeros for those and for weights past the last.
struct GroupFilter {
  const int8_t* filter;  // [num_channels][num_runs][run_length]
  int num_channels, num_runs, run_length;
  int first, end;

  int8_t at(int channel, int run, int i) const {
    return channel < num_channels && i < run_length
               ? filter[(ptrdiff_t{channel} * num_runs + run) * run_length + i]
               : int8_t{0};
  }

  // How many fours of a run a stretch has that begins at one of them.
  int stretch_length(int run, int four) const {
    const int left = divide_up(run_length, 4) - four;
    int length = left < kMostFours ? left : kMostFours;
    for (int c = first; c < end; ++c) {
      for (const int half : {0, 1}) {
        const int begin = 4 * four + 2 * half;
        for (int sum = 0, fours = 0; fours < length; ++fours) {
          const int i = begin + 4 * fours;
          sum += std::abs(int{at(c, run, i)}) + std::abs(int{at(c, run, i + 1)});
          if (sum > kMostMagnitude) length = fours;
        }
      }
    }
    return length;
  }

  int32_t offset(int channel, int run, int four, int length, int half) const {
    return 255 * negatives(channel, run, four, length, half) - 32768;
  }

 private:
  // The magnitudes of a half's negative weights, added up.
  int negatives(int channel, int run, int four, int length, int half) const {
    int sum = 0;
    for (int i = 4 * four + 2 * half; i < 4 * (four + length); i += 4) {
      for (const int weight : {at(channel, run, i), at(channel, run, i + 1)}) {
        if (weight < 0) sum -= weight;
      }
    }
    return sum;
  }
};

// Packed filters come in rows of four bytes for each channel of a group, of four channels
// at the least. Lengths take up whole ones.
inline int length_rows(int num_runs, int run_length) {
  return divide_up(most_stretches(num_runs, run_length), 16);
}

template <typename Simd>
ptrdiff_t filter_rows(int num_runs, int run_length) {
  const ptrdiff_t rows = ptrdiff_t{num_runs} * divide_up(run_length, 4) + 1;
  if (!Simd::kStretches) return rows;
  return rows + length_rows(num_runs, run_length) +
         most_stretches(num_runs, run_length);
}

template <typename Simd>
size_t integer_filter_bytes(int num_channels, int num_runs, int run_length) {
  return size_t(divide_up(num_channels, Simd::kLanes)) * Simd::kLanes *
         size_t(filter_rows<Simd>(num_runs, run_length)) * sizeof(int32_t);
}

// Appends an integer to bytes.
template <typename Integer>
void put(Integer value, char** to) {
  std::memcpy(*to, &value, sizeof(value));
  *to += sizeof(value);
}

// What a group's filter is written through.
struct GroupWriter {
  GroupFilter filter;
  char* biases;
  char* lengths;  // or null
  char* to;

  void write_run(int run) {
    const int fours = divide_up(filter.run_length, 4);
    for (int four = 0, length = fours; four < fours; four += length) {
      if (lengths != nullptr) {
        length = filter.stretch_length(run, four);
        put(uint8_t(length), &lengths);
        write_offsets(run, four, length);
      }
      write_fours(run, four, length);
    }
  }

  void write_offsets(int run, int four, int length) {
    for (int c = filter.first; c < filter.end; ++c) {
      char* bias = biases + (c - filter.first) * sizeof(int32_t);
      // It wraps on its way where stretches are many, and is right at the end.
      uint32_t sum;
      std::memcpy(&sum, bias, sizeof(sum));
      for (const int half : {0, 1}) {
        const int32_t offset = filter.offset(c, run, four, length, half);
        put(int16_t(offset), &to);
        sum -= static_cast<uint32_t>(offset);
      }
      std::memcpy(bias, &sum, sizeof(sum));
    }
  }

  void write_fours(int run, int four, int length) {
    for (int i = 4 * four; i < 4 * (four + length); i += 4) {
      for (int c = filter.first; c < filter.end; ++c) {
        for (int k = i; k < i + 4; ++k) put(filter.at(c, run, k), &to);
      }
    }
  }
};

template <typename Simd>
void pack_integer_filter(const int8_t* filter, const int32_t* bias, int num_channels,
                         int num_runs, int run_length, void* packed) {
  const ptrdiff_t channel_bytes = filter_rows<Simd>(num_runs, run_length) * 4;
  const auto pack_group = [&](int first, int vectors) {
    const int end = first + vectors * Simd::kLanes;
    char* to = static_cast<char*>(packed) + first * channel_bytes;
    const ptrdiff_t row_bytes = ptrdiff_t{end - first} * 4;
    GroupWriter writer = {{filter, num_channels, num_runs, run_length, first, end},
                          to,
                          nullptr,
                          to + row_bytes};
    for (int c = first; c < end; ++c) put(c < num_channels ? bias[c] : 0, &to);
    if (Simd::kStretches) {
      writer.lengths = writer.to;
      writer.to += length_rows(num_runs, run_length) * row_bytes;
    }
    for (int r = 0; r < num_runs; ++r) writer.write_run(r);
  };
  for_each_group<Simd::kIntegerVectors, Simd::kLanes>(num_channels, pack_group);
}

}  // namespace
}  // namespace r2b

#endif  // R2B_KERNELS_INTEGER_FILTER_H_
