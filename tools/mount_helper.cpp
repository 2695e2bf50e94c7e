// SPDX-License-Identifier: Apache-2.0
#include "mount_helper.h"

#include <unistd.h>

#include <string_view>

#include "report.h"

namespace snap::tool {

bool is_mount_helper(const char* program) {
  const std::string_view path = program == nullptr ? "" : program;
  return path.substr(path.rfind('/') + 1) == "mount.fuse.vmsnap";
}

std::vector<std::string> words_of_mount_helper(int argc, char** argv) {
  std::vector<std::string> words{"vmsnap", "mount"};
  bool fake = false;
  ::optind = 1;
  for (int option = 0; (option = ::getopt(argc, argv, "sfnvN:o:t:")) != -1;) {
    if (option == 'f') fake = true;
    if (option == '?') fail_usage("as the helper of mount(8): SOURCE DIRECTORY [-sfnv] [-o OPTIONS] [-t TYPE]");
    if (option == 'o') words.insert(words.end(), {"-o", ::optarg});
  }
  if (argc - ::optind != 2) fail_usage("as the helper of mount(8): SOURCE DIRECTORY [-sfnv] [-o OPTIONS] [-t TYPE]");
  if (fake) return {};
  words.insert(words.end(), {"--", argv[::optind], argv[::optind + 1]});
  return words;
}

}  // namespace snap::tool
