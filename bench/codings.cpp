// SPDX-License-Identifier: Apache-2.0
// The table from which the defaults are chosen: codec, level and block size against size and speed.
#include <fcntl.h>

#include <algorithm>
#include <random>

#include "guest_image.h"

namespace bench {

namespace {

double read_microseconds(const std::string& path, const Payloads& payloads) {
  const File file(path, O_RDONLY);
  const auto source = snap::file_source(file.fd());
  auto reader = must(snap::Reader::open(*source), "opening a snapshot");
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> pages;
  for (const Payload& payload : payloads.blocks) pages.push_back(payload.pages[random() % payload.pages.size()]);
  std::shuffle(pages.begin(), pages.end(), random);
  std::vector<double> times;
  std::byte page[snap::kPageBytes];
  for (const std::uint64_t number : pages) {
    const double start = now();
    must(reader->read(0, number * snap::kPageBytes, page), "reading a page");
    times.push_back((now() - start) * 1e6);
  }
  return stat_of(std::move(times)).median;
}

void print_row(const Setup& setup, const Coding& coding) {
  const ScratchFile snapshot(setup.data, "coding");
  std::vector<double> create, restore, read;
  const bool slow = coding.level >= 9;
  Payloads payloads;
  for (int round = 0; round < (setup.quick ? 3 : 5); ++round) {
    if (round == 0 || !slow) {
      create.push_back(timed([&] { create_snapshot(setup.guest, snapshot.path(), writer_options(coding, setup.threads)); }).wall);
    }
    if (round == 0) payloads = load_payloads(snapshot.path());
    restore.push_back(restore_snapshot(setup, snapshot.path(), false).wall);
    read.push_back(read_microseconds(snapshot.path(), payloads));
  }
  const double bytes = static_cast<double>(setup.guest_bytes);
  const std::uint64_t stored = file_bytes(snapshot.path());
  std::printf("| %s | %u KiB | %.1f | %.1f %% | %.0f | %.2f | %.1f |\n", coding_name(coding).c_str(), coding.block_bytes / 1024,
              static_cast<double>(stored) / 1e6, 100.0 * static_cast<double>(stored) / bytes,
              bytes / stat_of(create).median / 1e6, bytes / stat_of(restore).median / 1e9, stat_of(read).median);
  std::fflush(stdout);
}

}  // namespace

void print_codings(const Setup& setup) {
  std::printf("| codec and level | block | MB | of RAM | create MB/s | restore GB/s | read 4 KiB µs |\n");
  std::printf("|---|---|---|---|---|---|---|\n");
  using snap::Codec;
  const std::vector<std::pair<Codec, int>> codecs =
      setup.quick ? std::vector<std::pair<Codec, int>>{{Codec::kLz4, 1}, {Codec::kZstd, 3}}
                  : std::vector<std::pair<Codec, int>>{{Codec::kStore, 0}, {Codec::kLz4, 1},  {Codec::kLz4, 9},
                                                       {Codec::kZstd, 1},  {Codec::kZstd, 3}, {Codec::kZstd, 9}};
  for (const auto& [codec, level] : codecs) {
    for (const std::uint32_t kib : {16u, 64u, 256u, 1024u}) print_row(setup, {codec, level, kib * 1024});
  }
}

}  // namespace bench
