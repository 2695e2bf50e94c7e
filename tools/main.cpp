// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "base_keeper.h"
#include "bench.h"
#include "commands.h"
#include "mount_helper.h"
#include "report.h"
#include "signals.h"

namespace snap::tool {
namespace {

constexpr const char* kFooter =
    "Exit status: 0 done, 1 different, 2 usage, 3 input or output, 4 damaged, 5 incomplete, 6 unsupported,\n"
    "7 wrong parent, 8 not found, 9 out of memory, 128 + N signal N. See vmsnap(1).";

int parse_and_run(int argc, char** argv) {
  CommandLine line("vmsnap", VMSNAP_VERSION, "Keeps the memory of virtual machines in small checked files and gives it back.",
                   kFooter);
  line.add("convert", "Convert between snapshots, old images and raw memory", add_convert);
  line.add("save", "Save the guest of a running QEMU", add_save);
  line.add("restore", "Give QEMU a saved guest", add_restore);
  line.add("info", "Say what a file is and what it holds", add_info);
  line.add("check", "Find all damage of snapshots; repair what can be", add_check);
  line.add("compare", "Compare the content of two files", add_compare);
  line.add("map", "List the memory that differs from the parent's", add_map);
  line.add("working-set", "The order in which a guest touches its memory: print, store, remove", add_working_set);
  line.add("flatten", "Make a difference stand alone", add_flatten);
  line.add("rebase", "Make a snapshot a difference against another parent", add_rebase);
  line.add("base", "The memory of bases that clones share on this host: list, load, drop", add_base);
  line.add("mount", "Show a snapshot, or a directory of them, as files", add_mount);
  line.add("umount", "Take a mount away", add_umount);
  line.add("bench", "Run vmsnap-bench", add_bench);
  return line.run(argc, argv);
}

int help_mount(int argc, char** argv) {
  std::vector<std::string> words = words_of_mount_helper(argc, argv);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  return words.empty() ? static_cast<int>(kExitOk) : parse_and_run(static_cast<int>(pointers.size()), pointers.data());
}

/// Where one of them is closed, the next file opened would take its number, and a message would be written into it.
/// A stand-in opened the wrong way round fails as the closed one would.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int guarded_main(int argc, char** argv) {
  try {
    occupy_standard_descriptors();
    if (argc > 1 && std::strcmp(argv[1], "bench") == 0) run_bench(argv);
    if (argc > 2 && std::strcmp(argv[1], "base-keeper") == 0) return keep_base(argv[2]);
    install_signal_handlers();
    return is_mount_helper(argv[0]) ? help_mount(argc, argv) : parse_and_run(argc, argv);
  } catch (const Failure& failure) {
    if (!failure.message.empty()) say(failure.message);
    if (failure.status == kExitUsage) say("try 'vmsnap help' or 'vmsnap help COMMAND'");
    return failure.status;
  } catch (const std::bad_alloc&) {
    say("out of memory");
  } catch (const std::exception& error) {
    say(fmt::format("internal error: {}", error.what()));
  }
  return kExitInternal;
}

}  // namespace
}  // namespace snap::tool

int main(int argc, char** argv) { return snap::tool::guarded_main(argc, argv); }
