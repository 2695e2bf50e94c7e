// SPDX-License-Identifier: Apache-2.0
// Makes the seeds of fuzz_xen, all from support/: make_xen_seeds tests/fuzz/corpus/xen
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/xen_save.h"

namespace {

using namespace snap::test;

void write(const std::filesystem::path& path, const Buffer& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Buffer recipe(std::initializer_list<unsigned> operations) {
  Buffer bytes;
  put_text(bytes, "XENSAVE1");
  for (const unsigned byte : operations) put_le(bytes, byte, 1);
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_xen_seeds CORPUS_DIR\n");
    return 2;
  }
  const std::filesystem::path to = argv[1];
  std::filesystem::create_directories(to);
  XenSave hvm;
  hvm.begin().record(17, Buffer(24)).record(18, Buffer(16)).record(16).pages({{0, 1}, {1, 0}, {5, 0, 15}, {9, 2}});
  hvm.record(8, Buffer(24)).record(9, Buffer(13)).record(10, Buffer(24)).record(0).record(3, Buffer(17)).record(0);
  write(to / "hvm", hvm.file);
  XenSave pv;
  pv.begin(kXenPvType, 2).record(2, Buffer(8)).record(3, Buffer(16));
  pv.pages({{0, 1}, {1, 2, 1}, {2, 0, 12}, {3, 0, 13}, {4, 0, 14}}).record(7, Buffer(32)).record(4, Buffer(20)).end();
  write(to / "pv", pv.file);
  XenSave live;
  live.begin().pages({{0, 1}, {1, 2}, {3, 3}}).pages({{1, 4}, {0, 5}}).pages({{1, 6}, {2, 7}, {4, 8}, {3, 0, 15}}).end();
  put_text(live.file, "domain is yours");
  write(to / "live", live.file);
  XenSave checkpoints;
  checkpoints.begin().pages({{0, 1}}).record(14).record(3, Buffer(9)).record(4).pages({{0, 2}}).record(13).end();
  write(to / "checkpoints", checkpoints.file);
  write(to / "recipe-literal", recipe({3, 1, 3, 'a', 'b', 'c', 0}));
  // Two frames of memory, a superseded one, and three without a page: 16 + 6 * 8 + 3 * 4096 bytes.
  write(to / "recipe-pages", recipe({0xc0, 0x60, 2, 3, 0, 2, 0, 17, 1, 3, 15, 3, 4, 0}));
  return 0;
}
