// SPDX-License-Identifier: Apache-2.0
// Makes the seeds of fuzz_qemu, all from support/: make_qemu_seeds tests/fuzz/corpus
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/migration_stream.h"

namespace {

using namespace snap::test;

Ram tiny() { return blank_ram({{"pc.ram", 3}, {"vga.vram", 1}}); }
Buffer flat(unsigned byte) { return Buffer(4096, static_cast<std::byte>(byte)); }

Buffer live(std::string_view machine) {
  ModelledGuest guest(tiny());
  guest.stream.head(machine);
  if (!machine.empty()) guest.stream.capabilities({"events"}).command(2, Buffer(4));
  guest.stream.start_ram(guest.ram).part();
  guest.compressed(0, 0, flat(1));
  guest.fill(0, 1, 0);
  guest.fill(0, 2, 7);
  guest.stream.number(kFlagMultifdFlush, 8).eos().part(3);
  Buffer changed = guest.at(0, 0);
  changed[100] = std::byte{0};
  guest.delta(0, 0, changed);
  guest.fill(0, 1, 9);
  guest.compressed(1, 0, flat(2));
  return guest.stream.eos().tail().bytes;
}

Buffer bitmaps() {
  MigrationStream stream;
  stream.head("pc-q35-9.1").command(3).begin(1, 1, "dirty-bitmap", 1).number(1, 1).footer(1).start_ram(tiny());
  return stream.number(2, 1).number(1, 4).number(1, 1).footer(1).command(11).part(3).page("pc.ram", 1, flat(4)).eos().tail().bytes;
}

/// As mapped-ram has it, but for where the pages stand: at the next page, which keeps it small.
Buffer mapped() {
  MigrationStream stream;
  stream.head().capabilities({"mapped-ram"}).start_ram().number(8192 | kFlagList, 8).listed("pc.ram", 8192);
  const std::uint64_t bitmap_at = stream.size() + 28;
  stream.number(1, 4).number(4096, 8).number(bitmap_at, 8).number(4096, 8).number(0x0200000000000000, 8);
  stream.bytes.resize(4096);
  return stream.add(flat(5)).add(flat(6)).eos().part(3).eos().tail().bytes;
}

void write(const std::filesystem::path& path, const Buffer& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: make_qemu_seeds CORPUS\n"), 2;
  const std::filesystem::path corpus = std::filesystem::path(argv[1]) / "qemu";
  write(corpus / "live", live("pc-i440fx-7.2"));
  write(corpus / "live-no-footers", live(""));
  write(corpus / "dirty-bitmaps", bitmaps());
  write(corpus / "mapped-ram", mapped());
  std::mt19937 random(1);
  for (int i = 0; i < 4; ++i) {
    Buffer actions(static_cast<std::size_t>(80 << i));
    for (std::byte& byte : actions) byte = static_cast<std::byte>(random());
    write(corpus / ("actions-" + std::to_string(i)), actions);
  }
}
