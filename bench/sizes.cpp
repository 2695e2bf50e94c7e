// SPDX-License-Identifier: Apache-2.0
// Figure 4: how large files are, and that opening costs the same whatever a snapshot's size.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstring>

#include "guest_image.h"

namespace bench {

namespace {

constexpr double kMega = 1e6;
constexpr double kMebi = 1 << 20;

Stat exactly(double value) { return {value, value, value}; }

double packed_by(const Setup& setup, const std::string& program, const std::string& level) {
  const ScratchFile packed(setup.work, program);
  output_of({"sh", "-c", program + " " + level + " -c '" + setup.guest + "' > " + packed.path()});
  return static_cast<double>(file_bytes(packed.path()));
}

void compare_size(const Setup& setup, const Coding& coding, const std::string& peer_name, double peer, double bound) {
  const ScratchFile snapshot(setup.work, "sized");
  create_snapshot(setup.guest, snapshot.path(), writer_options(coding, setup.threads));
  const double bytes = static_cast<double>(file_bytes(snapshot.path()));
  Figure figure{"4",       "file, " + coding_name(coding) + ", blocks of " + std::to_string(coding.block_bytes / 1024) + " KiB",
                "MB",      exactly(bytes / kMega),
                peer_name, exactly(peer / kMega)};
  figure.result = bytes / peer;
  figure.result_unit = "×";
  figure.target = Target{bound, false};
  setup.report->add(figure);
}

// 1 TiB in which every 256 MiB have one block that is not zero.
void create_sparse(const std::string& path) {
  constexpr std::uint64_t kSize = std::uint64_t{1} << 40;
  constexpr std::uint64_t kStep = std::uint64_t{256} << 20;
  ::unlink(path.c_str());
  const File file(path, O_CREAT | O_RDWR | O_TRUNC);
  const auto sink = snap::stream_sink(file.fd());
  auto writer = must(snap::Writer::create(*sink, writer_options({}, 2)), "a writer");
  snap::RegionInfo info;
  info.name = "ram";
  info.size = kSize;
  must(writer->begin_region(info), "a region");
  std::vector<std::byte> block(64 * 1024);
  for (std::uint64_t at = 0; at < kSize; at += kStep) {
    std::memcpy(block.data(), &at, sizeof at);
    block[block.size() - 1] = std::byte{1};
    must(writer->write(block), "writing");
    must(writer->skip(kStep - block.size()), "skipping");
  }
  must(writer->end_region(), "ending a region");
  must(writer->finish(), "finishing");
}

void measure_open(const Setup& setup) {
  const ScratchFile snapshot(setup.work, "sparse");
  create_sparse(snapshot.path());
  std::vector<double> milliseconds, mebibytes;
  for (int round = 0; round < setup.rounds; ++round) {
    const std::string answer = output_of({setup.self, "--child-open", snapshot.path()});
    char* rest = nullptr;
    milliseconds.push_back(std::strtod(answer.c_str(), &rest) * 1e3);
    mebibytes.push_back(std::strtod(rest, nullptr) / kMebi);
  }
  Figure time{"4", "opening a snapshot of 1 TiB, first page read", "ms", stat_of(milliseconds)};
  time.result = time.ours.median;
  time.result_unit = "ms";
  time.target = Target{2, false};
  setup.report->add(time);
  Figure memory{"4", "memory that this takes", "MiB", stat_of(mebibytes)};
  memory.result = memory.ours.most;
  memory.result_unit = "MiB";
  memory.target = Target{4, false};
  setup.report->add(memory);
}

std::uint64_t resident_bytes() {
  const File file("/proc/self/statm", O_RDONLY);
  char text[128] = {};
  if (::read(file.fd(), text, sizeof text - 1) <= 0) die("cannot read /proc/self/statm");
  char* rest = nullptr;
  std::strtoull(text, &rest, 10);
  return std::strtoull(rest, nullptr, 10) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void measure_sizes(const Setup& setup) {
  const double zstd = packed_by(setup, "zstd", "-3");
  const double lz4 = packed_by(setup, "lz4", "-1");
  compare_size(setup, {snap::Codec::kZstd, 3, 64 * 1024}, "zstd -3", zstd, 1.06);
  compare_size(setup, {snap::Codec::kZstd, 3, 1 << 20}, "zstd -3", zstd, 1.02);
  compare_size(setup, {snap::Codec::kLz4, 1, 64 * 1024}, "lz4 -1", lz4, 1);
  measure_open(setup);
}

// Opening and the first read, in a process that has done nothing else. Prints seconds and bytes.
int child_open(const std::vector<std::string>& words) {
  if (words.size() != 1) die("--child-open FILE");
  const File file(words[0], O_RDONLY);
  std::byte page[snap::kPageBytes];
  const std::uint64_t before = resident_bytes();
  const double start = now();
  const auto source = snap::file_source(file.fd());
  auto reader = must(snap::Reader::open(*source), "opening a snapshot");
  must(reader->read(0, reader->regions()[0].size / 2, page), "reading a page");
  const double end = now();
  const std::uint64_t after = resident_bytes();
  std::printf("%.9f %llu\n", end - start, static_cast<unsigned long long>(after - before));
  return 0;
}

}  // namespace bench
