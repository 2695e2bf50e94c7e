// SPDX-License-Identifier: Apache-2.0
// Makes the seeds of fuzz_elf: make_elf_seeds tests/fuzz/corpus/elf
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/elf_builder.h"

namespace {

using snap::test::CoreBuilder;

std::vector<std::byte> text(std::size_t size, char first) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(first + i % 7);
  return bytes;
}

CoreBuilder dump(bool wide, bool elsewhere) {
  CoreBuilder core;
  core.wide = wide;
  core.count_elsewhere = elsewhere;
  core.add({.type = 4, .at = 300}, text(21, 'n'));
  core.add({.address = 0, .at = 333}, text(5000, 'a'));
  core.add({.address = 0xfffc0000, .memory_bytes = 9000, .at = 5400}, text(300, 'k'));
  return core;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::filesystem::path to = arguments[1];
  std::filesystem::create_directories(to);
  const auto put = [&](const char* name, CoreBuilder core) {
    const auto bytes = core.build();
    std::ofstream(to / name, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  put("elf64", dump(true, false));
  put("elf32", dump(false, false));
  put("elf64-count-elsewhere", dump(true, true));
  put("elf32-count-elsewhere", dump(false, true));
  CoreBuilder paging;
  paging.put_bytes(400, text(3 * 4096, 'p'));
  for (const std::uint64_t page : {1u, 0u, 2u, 0u}) {
    paging.segments.push_back({.address = 0x100000 + page * 4096, .memory_bytes = 4096 + page, .file_bytes = 4096, .at = 400 + page * 4096, .virtual_address = page});
  }
  put("paging", paging);
  CoreBuilder shared;
  shared.add({.address = 0, .at = 400}, text(600, 's'));
  shared.add({.address = 0x5123, .at = 700}, text(600, 't'));
  put("shared", shared);
  CoreBuilder notes;
  notes.add({.address = 0x1ff0, .at = 400}, text(600, 's'));
  notes.add({.type = 4, .at = 1100}, text(9, 'x'));
  notes.add({.address = 0x2248, .at = 1200}, text(60, 'y'));
  notes.add({.type = 4, .at = 1300}, text(8, 'z'));
  put("notes-between", notes);
  return 0;
}
