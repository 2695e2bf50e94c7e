// SPDX-License-Identifier: Apache-2.0
// Figure 3: a snapshot of raw memory in the page cache or from a pipe, and the memory that takes.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "guest_image.h"

namespace bench {

namespace {

constexpr double kMega = 1e6;
constexpr double kMebi = 1 << 20;

/// The pages of each block that are not zero, packed.
struct RawBlocks {
  std::vector<std::byte> bytes;
  std::vector<std::span<const std::byte>> blocks;
};

bool zero_page(const std::byte* page) {
  return page[0] == std::byte{0} && std::memcmp(page, page + 1, snap::kPageBytes - 1) == 0;
}

RawBlocks load_raw_blocks(const Setup& setup, std::uint32_t block_bytes) {
  RawBlocks all;
  all.bytes.resize(setup.guest_bytes);
  const File file(setup.guest, O_RDONLY);
  std::vector<std::byte> block(block_bytes);
  std::size_t at = 0;
  while (true) {
    const ssize_t got = ::read(file.fd(), block.data(), block.size());
    if (got <= 0) break;
    const std::size_t start = at;
    for (std::size_t page = 0; page + snap::kPageBytes <= static_cast<std::size_t>(got); page += snap::kPageBytes) {
      if (zero_page(block.data() + page)) continue;
      std::memcpy(all.bytes.data() + at, block.data() + page, snap::kPageBytes);
      at += snap::kPageBytes;
    }
    if (at != start) all.blocks.emplace_back(all.bytes.data() + start, at - start);
  }
  return all;
}

Sample compress_bare(const Setup& setup, const RawBlocks& raw, const Coding& coding) {
  return timed([&] {
    std::atomic<std::size_t> next{0};
    on_threads(setup.threads, [&](unsigned) {
      BareEncoder encoder(coding);
      for (std::size_t i = next++; i < raw.blocks.size(); i = next++) encoder.encode(raw.blocks[i]);
    });
  });
}

// What nobody who makes a file of a file can do without: reading one, finding the zeros, the compressing, writing the other.
Sample compress_files(const Setup& setup, const Coding& coding, const std::string& to) {
  return timed([&] {
    const File from(setup.guest, O_RDONLY);
    const File out(to, O_CREAT | O_RDWR | O_TRUNC);
    constexpr std::size_t job_bytes = 512 * 1024;
    std::atomic<std::uint64_t> next{0};
    std::atomic<std::uint64_t> end{0};
    on_threads(setup.threads, [&](unsigned) {
      BareEncoder encoder(coding);
      std::vector<std::byte> raw(job_bytes);
      std::vector<std::byte> packed;
      for (std::uint64_t at = next.fetch_add(job_bytes); at < setup.guest_bytes; at = next.fetch_add(job_bytes)) {
        if (::pread(from.fd(), raw.data(), raw.size(), static_cast<off_t>(at)) <= 0) die("cannot read the guest");
        packed.clear();
        for (std::size_t block = 0; block < raw.size(); block += coding.block_bytes) {
          std::size_t kept = block;
          for (std::size_t page = block; page < block + coding.block_bytes; page += snap::kPageBytes) {
            if (zero_page(raw.data() + page)) continue;
            if (kept != page) std::memcpy(raw.data() + kept, raw.data() + page, snap::kPageBytes);
            kept += snap::kPageBytes;
          }
          if (kept == block) continue;
          const std::size_t bytes = encoder.encode({raw.data() + block, kept - block});
          packed.insert(packed.end(), encoder.encoded(), encoder.encoded() + bytes);
        }
        const std::uint64_t place = end.fetch_add(packed.size());
        if (::pwrite(out.fd(), packed.data(), packed.size(), static_cast<off_t>(place)) != static_cast<ssize_t>(packed.size())) die("cannot write");
      }
    });
  });
}

struct ChildResult {
  Sample time;  // CPU is the child's own: who writes into the pipe is not counted
  double peak_bytes = 0;
};
// from: "file" or "pipe". The child says its VmHWM and its CPU time.
ChildResult create_in_child(const Setup& setup, const std::string& from, const Coding& coding, const std::string& to,
                            int copies) {
  std::string command;
  if (from == "pipe") {
    command = "cat";
    for (int i = 0; i < copies; ++i) command += " '" + setup.guest + "'";
    command += " | ";
  }
  command += "'" + setup.self + "' --child-create " + (from == "pipe" ? "-" : "'" + setup.guest + "'") + " '" + to + "' " +
             snap::codec_name(coding.codec) + " " + std::to_string(coding.level) + " " + std::to_string(coding.block_bytes) +
             " " + std::to_string(setup.threads);
  const double start = now();
  const std::string answer = output_of({"sh", "-c", command});
  const double wall = now() - start;
  char* rest = nullptr;
  const double peak = std::strtod(answer.c_str(), &rest);
  return {{wall, std::strtod(rest, nullptr)}, peak};
}

void measure_codec(const Setup& setup, const RawBlocks& raw, const Coding& coding) {
  const ScratchFile out(setup.work, "created");
  std::vector<Contender> contenders = {
      {"library",
       [&] { return timed([&] { create_snapshot(setup.guest, out.path(), writer_options(coding, setup.threads)); }); }},
      {"bare", [&] { return compress_bare(setup, raw, coding); }},
      {"files", [&] { return compress_files(setup, coding, out.path()); }},
      {"file",
       [&] {
         return create_in_child(setup, "file", coding, out.path(), 1).time;
       }},
      {"pipe",
       [&] {
         return create_in_child(setup, "pipe", coding, out.path(), 1).time;
       }},
      {"cat",
       [&] {
         return timed([&] { output_of({"sh", "-c", "cat '" + setup.guest + "' | cat > /dev/null"}); });
       }},
  };
  const auto times = contest(contenders, setup.rounds);
  const double bytes = static_cast<double>(setup.guest_bytes);
  const std::string what = "create " + coding_name(coding) + ", " + std::to_string(setup.threads) + " threads";
  const std::string bare = coding.codec == snap::Codec::kLz4 ? "LZ4_compress_fast alone" : "ZSTD_compressCCtx alone";
  setup.report->add_rate("3", what, bytes, kMega, "MB/s", times[0], bare, times[1], Target{0.85, true});
  setup.report->add_rate("3", what, bytes, kMega, "MB/s", times[0], "the same, file to file", times[2]);
  Figure pipe{"3",           what + ", from a pipe",           "MB/s", rate(bytes, times[4].wall, kMega),
              "from a file", rate(bytes, times[3].wall, kMega)};
  pipe.result = times[3].wall.median / times[4].wall.median;
  pipe.result_unit = "×";
  pipe.best_ratio = times[3].wall.least / times[4].wall.least;
  pipe.cpu_ratio = times[3].cpu.median / times[4].cpu.median;
  pipe.target = Target{0.8, true};
  setup.report->add(pipe);
  // What a pipe costs whoever reads it.
  Figure cat{"3", pipe.what, "MB/s", pipe.ours, "cat | cat > /dev/null", rate(bytes, times[5].wall, kMega)};
  cat.result = times[5].wall.median / times[4].wall.median;
  cat.result_unit = "×";
  setup.report->add(cat);
}

void measure_memory(const Setup& setup, const Coding& coding, const std::string& from, int copies) {
  const ScratchFile out(setup.work, "created");
  const int rounds = setup.quick ? 1 : 3;
  std::vector<double> peaks;
  for (int i = 0; i < rounds; ++i) peaks.push_back(create_in_child(setup, from, coding, out.path(), copies).peak_bytes / kMebi);
  std::string what =
      "peak memory, " + coding_name(coding) + ", " + std::to_string(coding.block_bytes / 1024) + " KiB blocks, " + from;
  if (copies != 1) what += " of " + std::to_string(copies) + " guests";
  Figure figure{"3", what, "MiB", stat_of(peaks)};
  figure.result = figure.ours.most;
  figure.result_unit = "MiB";
  figure.target = Target{64 + 8.0 * setup.threads * coding.block_bytes / kMebi, false};
  setup.report->add(figure);
}

std::uint64_t peak_memory() {
  const File status("/proc/self/status", O_RDONLY);
  char text[4096] = {};
  if (::read(status.fd(), text, sizeof text - 1) <= 0) die("cannot read /proc/self/status");
  const char* const line = std::strstr(text, "VmHWM:");
  return line == nullptr ? 0 : std::strtoull(line + 6, nullptr, 10) * 1024;
}

}  // namespace

void measure_create(const Setup& setup) {
  {
    const RawBlocks raw = load_raw_blocks(setup, 64 * 1024);
    measure_codec(setup, raw, {snap::Codec::kLz4, 1});
    measure_codec(setup, raw, {snap::Codec::kZstd, 3});
  }
  measure_memory(setup, {snap::Codec::kLz4, 1, 64 * 1024}, "file", 1);
  measure_memory(setup, {snap::Codec::kZstd, 3, 64 * 1024}, "file", 1);
  measure_memory(setup, {snap::Codec::kZstd, 3, 4 << 20}, "file", 1);
  measure_memory(setup, {snap::Codec::kZstd, 3, 4 << 20}, "pipe", 1);
  measure_memory(setup, {snap::Codec::kLz4, 1, 64 * 1024}, "pipe", setup.quick ? 2 : 8);
}

int child_create(const std::vector<std::string>& words) {
  if (words.size() != 6) die("--child-create FROM TO CODEC LEVEL BLOCK_BYTES THREADS");
  Coding coding;
  coding.codec = words[2] == "lz4" ? snap::Codec::kLz4 : words[2] == "zstd" ? snap::Codec::kZstd : snap::Codec::kStore;
  coding.level = std::stoi(words[3]);
  coding.block_bytes = static_cast<std::uint32_t>(std::stoul(words[4]));
  const auto options = writer_options(coding, static_cast<unsigned>(std::stoul(words[5])));
  if (words[0] == "-") {
    create_snapshot_from_stream(0, words[1], options);
  } else {
    create_snapshot(words[0], words[1], options);
  }
  std::printf("%llu %.6f\n", static_cast<unsigned long long>(peak_memory()), process_cpu());
  return 0;
}

}  // namespace bench
