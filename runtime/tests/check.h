// The smallest test framework that does: TEST(name) { CHECK(...); } in any number of
// files, and one TEST_MAIN. A program's arguments are parts of the names of the tests
// to run.
#ifndef R2B_TESTS_CHECK_H_
#define R2B_TESTS_CHECK_H_

#include <string>

namespace r2b_test {

struct Registrar {
  Registrar(const char* name, void (*run)());
};

int run_tests(int argc, char** argv);

// Counts the check and prints a failed one; safe to call from several threads.
bool check(bool ok, const char* file, int line, const std::string& text);

template <typename A, typename B>
bool check_equal(const A& a, const B& b, const char* file, int line,
                 const std::string& text) {
  if (a == b) return check(true, file, line, text);
  return check(false, file, line,
               text + ": " + std::to_string(a) + " is not " + std::to_string(b));
}

}  // namespace r2b_test

#define TEST(name)                                                \
  static void name();                                             \
  static const r2b_test::Registrar name##_registrar(#name, name); \
  static void name()

#define TEST_MAIN \
  int main(int argc, char** argv) { return r2b_test::run_tests(argc, argv); }

#define CHECK(condition) r2b_test::check((condition), __FILE__, __LINE__, #condition)
#define CHECK_EQUAL(a, b) \
  r2b_test::check_equal((a), (b), __FILE__, __LINE__, #a " == " #b)
// `text` contains `part`.
#define CHECK_SAYS(text, part)                                                 \
  r2b_test::check(std::string(text).find(part) != std::string::npos, __FILE__, \
                  __LINE__, "\"" + std::string(text) + "\" says \"" + part + "\"")

#endif  // R2B_TESTS_CHECK_H_
