// A `main` for fuzz targets where there is no libFuzzer: runs the files that are named,
// and every file of the directories, once.
#include <dirent.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

bool run_file(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  std::vector<uint8_t> bytes;
  uint8_t block[4096];
  for (size_t count; (count = std::fread(block, 1, sizeof block, file)) > 0;) {
    bytes.insert(bytes.end(), block, block + count);
  }
  std::fclose(file);
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  return true;
}

int run_path(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return run_file(path) ? 1 : 0;
  int num_run = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && run_file(path + "/" + name)) ++num_run;
  }
  closedir(directory);
  return num_run;
}

}  // namespace

int main(int argc, char** argv) {
  int num_run = 0;
  for (int i = 1; i < argc; ++i) num_run += run_path(argv[i]);
  std::printf("%s: %d inputs\n", argv[0], num_run);
  return num_run > 0 ? 0 : 1;
}
