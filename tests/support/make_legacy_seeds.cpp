// SPDX-License-Identifier: Apache-2.0
// Makes the seeds of fuzz_vmstate and fuzz_qcow2, all from support/: make_legacy_seeds tests/fuzz/corpus
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/qcow2_builder.h"

namespace {

using namespace snap::test;

Buffer tiny_ram() { return sample_ram(24 * 1024, 3, 2); }

Buffer live() {
  const Buffer ram = tiny_ram();
  Buffer first;
  put_be(first, ram.size() | 4, 8);
  for (std::uint64_t page = 0; page < 3; ++page) put_live_page(first, ram, page);
  put_be(first, 0x10, 8);
  Buffer last;
  for (std::uint64_t page = 2; page < ram.size() / 4096; ++page) put_live_page(last, ram, page);
  put_be(last, 0x10, 8);
  return container(3, {section(1, 1, "ram", 3, first), part(3, 1, last), section(4, 3, "cpu", 4, Buffer(30)), Buffer(1)});
}

Buffer kvm_live() {
  const Buffer ram = tiny_ram();
  Buffer body(1, std::byte{1});
  for (std::size_t at = 0; at < ram.size(); at += 4096) {
    put_be(body, at, 4);
    body.insert(body.end(), ram.begin() + static_cast<std::ptrdiff_t>(at), ram.begin() + static_cast<std::ptrdiff_t>(at + 4096));
  }
  put_be(body, 1, 4);
  return container(2, {record("ram", 3, body), devices(0)});
}

void write(const std::filesystem::path& path, const Buffer& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Qcow2Spec image_of(const Buffer& state) {
  Qcow2Spec spec;
  spec.cluster_log2 = 9;
  spec.disk_bytes = 33 * 1024;
  spec.snapshots.push_back({.state = state});
  return spec;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_legacy_seeds CORPUS_DIR\n");
    return 2;
  }
  const std::filesystem::path to = argv[1];
  const Buffer ram = tiny_ram();
  const Buffer plain = old_vmstate(ram, 16 * kMiB);
  write(to / "vmstate/container2-ram2", plain);
  write(to / "vmstate/container2-ram2-16k", old_vmstate(ram, 0, {.block = 16384}));
  write(to / "vmstate/container2-ram2-pieces", old_vmstate(ram, 0, {.level = 9, .piece = 300}));
  write(to / "vmstate/container2-kvm-hole", old_vmstate(Buffer(kMiB), 0, {.hole = true}, true));
  write(to / "vmstate/container2-kvm-live", kvm_live());
  write(to / "vmstate/container2-pc", old_vmstate(Buffer(kMiB + 12 * kMiB), kMiB));
  write(to / "vmstate/container1-ram1", container(1, {record("ram", 1, version_1_body(ram, false)), devices(0)}));
  write(to / "vmstate/container3-ram2",
        container(3, {section(4, 1, "timer", 2, Buffer(24)), section(4, 2, "ram", 2, static_ram_body(ram)), Buffer(1)}));
  write(to / "vmstate/container3-live", live());
  write(to / "qcow2/version2", build_qcow2(image_of(plain)).file);
  Qcow2Spec newer = image_of(live());
  newer.version = 3;
  newer.snapshots[0].compressed = true;
  put_be(newer.snapshots[0].extra, newer.snapshots[0].state.size(), 8);
  put_be(newer.snapshots[0].extra, newer.disk_bytes, 8);
  newer.snapshots.push_back({.id = "2", .name = "disk", .state = {}});
  write(to / "qcow2/version3-two", build_qcow2(newer).file);
  return 0;
}
