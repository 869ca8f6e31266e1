// Numbers too small for full precision count as zero while a step runs, as in Larq
// Compute Engine's interpreter and in XNNPACK: without it the same network would give
// other signs, and run slower where activations fade. And numbers are rounded to the
// nearest, whatever the host has set: helper threads would not know of that.
#ifndef R2B_DENORMALS_H_
#define R2B_DENORMALS_H_

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace r2b {

// Sets the thread's mode for as long as it lives, and puts the old one back.
class FlushDenormals {
 public:
  FlushDenormals() : before_(get()) { set((before_ & ~kRounding) | kFlush); }
  ~FlushDenormals() { set(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t kFlush = 0x8040;  // results (FTZ) and operands (DAZ)
  static constexpr uint64_t kRounding = 0x6000;
  static uint64_t get() { return _mm_getcsr(); }
  static void set(uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
  static constexpr uint64_t kFlush = uint64_t{1} << 24;     // FPCR.FZ
  static constexpr uint64_t kRounding = uint64_t{3} << 22;  // FPCR.RMode
  static uint64_t get() {
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void set(uint64_t mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
#else
  static constexpr uint64_t kFlush = 0, kRounding = 0;
  static uint64_t get() { return 0; }
  static void set(uint64_t) {}
#endif

  const uint64_t before_;
};

}  // namespace r2b

#endif  // R2B_DENORMALS_H_
