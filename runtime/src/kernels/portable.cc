// Kernels for any processor.
#include "four_lanes.h"
#include "make_kernels.h"
#include "tables.h"

namespace r2b {
namespace {

// Packed binary filter: [block of channels][word][channel of the block].
constexpr int kBlock = 4;
using Words __attribute__((vector_size(16))) = uint32_t;

size_t binary_filter_bytes(int num_channels, int num_words) {
  return size_t(divide_up(num_channels, kBlock)) * num_words * sizeof(Words);
}

void pack_binary_filter(const uint32_t* filter, int num_channels, int num_words,
                        void* packed) {
  uint32_t* to = static_cast<uint32_t*>(packed);
  for (int c = 0; c < num_channels; c += kBlock) {
    for (int i = 0; i < num_words; ++i) {
      for (int lane = 0; lane < kBlock; ++lane) {
        const bool used = c + lane < num_channels;
        *to++ = used ? filter[ptrdiff_t{c + lane} * num_words + i] : 0;
      }
    }
  }
}

// The number of bits in each byte.
inline Words bits_of_bytes(Words words) {
  Words bits = words - ((words >> 1) & 0x55555555u);
  bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u);
  return (bits + (bits >> 4)) & 0x0f0f0f0fu;
}

inline Words sum_of_bytes(Words bytes) {
  const Words pairs = (bytes & 0x00ff00ffu) + ((bytes >> 8) & 0x00ff00ffu);
  return (pairs + (pairs >> 16)) & 0xffffu;
}

void count_block(const Patches<uint32_t>& patches, const uint32_t* source,
                 const Words* filter, int32_t* counts) {
  constexpr int kMostInBytes = 31;  // 31 words of 8 bits a byte stay below 256
  Words total = {}, bytes = {};
  int in_bytes = 0;
  for (int r = 0; r < patches.num_runs; ++r) {
    const uint32_t* x = source + patches.run_offsets[r];
    for (int i = 0; i < patches.run_length; ++i) {
      bytes += bits_of_bytes(*filter++ ^ x[i]);
      if (++in_bytes == kMostInBytes) {
        total += sum_of_bytes(bytes);
        bytes = Words{};
        in_bytes = 0;
      }
    }
  }
  total += sum_of_bytes(bytes);
  std::memcpy(counts, &total, sizeof(total));
}

void binary_conv_row(const BinaryConvRow& row) {
  const int num_words = row.patches.num_runs * row.patches.run_length;
  for (int c = 0; c < row.num_channels; c += kBlock) {
    const Words* filter =
        static_cast<const Words*>(row.filter) + ptrdiff_t{c / kBlock} * num_words;
    for (ptrdiff_t p = 0; p < row.num_pixels; ++p) {
      count_block(row.patches, row.patches.source + p * row.patches.pixel_step, filter,
                  row.counts + p * row.counts_stride + c);
    }
  }
}

}  // namespace

constexpr Kernels portable_kernels = make_kernels<FourLanes>(
    "portable", kBlock, binary_filter_bytes, pack_binary_filter, binary_conv_row);

}  // namespace r2b
