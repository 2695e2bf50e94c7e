// SPDX-License-Identifier: Apache-2.0
// What the library needs for the same reads in its own process: the peer of the mounted view. bench/fuse/ calls it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <random>

#include "guest_image.h"

namespace bench {

namespace {

constexpr std::size_t kPiece = 1u << 20;  // what the kernel asks a file system for at most
constexpr double kMicro = 1e6;

std::unique_ptr<snap::Reader> open_uncached(snap::RandomSource& source) {
  snap::ReaderOptions options;
  options.cache_bytes = 0;
  return must(snap::Reader::open(source, options), "opening a snapshot");
}

/// Blocks in which the raw memory is not all zero.
std::vector<std::uint64_t> blocks_with_data(const std::string& raw, std::uint32_t block_bytes) {
  const File file(raw, O_RDONLY);
  std::vector<std::byte> block(block_bytes);
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0;; ++i) {
    const ssize_t got = ::pread(file.fd(), block.data(), block.size(), static_cast<off_t>(i * block_bytes));
    if (got < static_cast<ssize_t>(block.size())) return all;
    if (std::any_of(block.begin(), block.end(), [](std::byte byte) { return byte != std::byte{0}; })) all.push_back(i);
  }
}

}  // namespace

int child_decode(const std::vector<std::string>& words) {
  if (words.size() != 2) die("--child-decode SNAPSHOT THREADS");
  const File file(words[0], O_RDONLY);
  const auto source = snap::file_source(file.fd());
  auto reader = open_uncached(*source);
  const std::uint64_t bytes = reader->regions()[0].size;
  std::atomic<std::uint64_t> next{0};
  const auto threads = static_cast<unsigned>(std::stoul(words[1]));
  const Sample sample = timed([&] {
    on_threads(threads, [&](unsigned) {
      std::vector<std::byte> piece(kPiece);
      for (std::uint64_t at = next.fetch_add(kPiece); at < bytes; at = next.fetch_add(kPiece)) {
        const std::size_t size = std::min<std::uint64_t>(kPiece, bytes - at);
        must(reader->read(0, at, {piece.data(), size}), "reading a snapshot");
      }
    });
  });
  std::printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(bytes), sample.wall);
  return 0;
}

int child_decode_blocks(const std::vector<std::string>& words) {
  if (words.size() != 4) die("--child-decode-blocks SNAPSHOT RAW SEED COUNT");
  const File file(words[0], O_RDONLY);
  const auto source = snap::file_source(file.fd());
  auto reader = open_uncached(*source);
  std::vector<std::uint64_t> blocks = blocks_with_data(words[1], reader->block_bytes());
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937_64(std::stoull(words[2])));
  blocks.resize(std::min<std::size_t>(blocks.size(), std::stoul(words[3])));
  if (blocks.empty()) die(words[1] + " is all zero");
  std::vector<std::byte> block(reader->block_bytes());
  std::vector<double> times;
  for (const std::uint64_t number : blocks) {
    const double start = now();
    must(reader->read(0, number * block.size(), block), "reading a block");
    times.push_back((now() - start) * kMicro);
  }
  std::sort(times.begin(), times.end());
  std::printf("{\"count\": %zu, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", times.size(), times[times.size() / 2],
              times[times.size() * 99 / 100]);
  return 0;
}

}  // namespace bench
