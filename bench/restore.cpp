// SPDX-License-Identifier: Apache-2.0
// Figure 1: a whole guest's memory out of a file in the page cache.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "guest_image.h"

namespace bench {

namespace {

constexpr double kGiga = 1e9;

Sample copy_memory(FreshMemory& from, FreshMemory& to) {
  return timed([&] { std::memcpy(to.data(), from.data(), to.span().size()); });
}

void measure_memcpy(const Setup& setup) {
  FreshMemory from(setup.guest_bytes, true);
  FreshMemory to(setup.guest_bytes, true);
  std::memset(from.data(), 1, from.span().size());
  const auto times = contest({{"memcpy", [&] { return copy_memory(from, to); }}}, setup.rounds);
  setup.report->add(
      {"1", "memcpy, 1 thread, mapped memory", "GB/s", rate(static_cast<double>(setup.guest_bytes), times[0].wall, kGiga)});
}

// The blocks of the same 2 MiB belong to one thread, as they do in the library.
std::vector<std::size_t> group_starts(const Payloads& payloads) {
  std::vector<std::size_t> starts;
  std::uint64_t last = ~std::uint64_t{0};
  for (std::size_t i = 0; i < payloads.blocks.size(); ++i) {
    const std::uint64_t group = payloads.blocks[i].target >> 21;
    if (group != last) starts.push_back(i);
    last = group;
  }
  starts.push_back(payloads.blocks.size());
  return starts;
}

Sample restore_bare(const Setup& setup, const Payloads& payloads, bool huge_pages) {
  FreshMemory memory(setup.guest_bytes, huge_pages);
  const auto starts = group_starts(payloads);
  return timed([&] {
    std::atomic<std::size_t> next{0};
    on_threads(setup.threads, [&](unsigned) {
      BareDecoder decoder;
      for (std::size_t group = next++; group + 1 < starts.size(); group = next++) {
        for (std::size_t i = starts[group]; i < starts[group + 1]; ++i) {
          const Payload& payload = payloads.blocks[i];
          if (payload.raw != 0) decoder.decode(payload, payloads.bytes.data() + payload.at, memory.data() + payload.target);
        }
      }
    });
  });
}

// What nobody who restores from a file can do without: reading it, and the decoding.
Sample restore_reading(const Setup& setup, const Payloads& payloads, const std::string& packed, bool huge_pages) {
  FreshMemory memory(setup.guest_bytes, huge_pages);
  const auto starts = group_starts(payloads);
  return timed([&] {
    const File file(packed, O_RDONLY);
    std::atomic<std::size_t> next{0};
    on_threads(setup.threads, [&](unsigned) {
      BareDecoder decoder;
      std::vector<std::byte> stored(4 << 20);
      for (std::size_t group = next++; group + 1 < starts.size(); group = next++) {
        const std::size_t begin = payloads.blocks[starts[group]].at;
        const Payload& last = payloads.blocks[starts[group + 1] - 1];
        const std::size_t bytes = last.at + last.stored - begin;
        if (bytes > stored.size()) stored.resize(bytes);
        if (::pread(file.fd(), stored.data(), bytes, static_cast<off_t>(begin)) != static_cast<ssize_t>(bytes)) die("cannot read " + packed);
        for (std::size_t i = starts[group]; i < starts[group + 1]; ++i) {
          const Payload& payload = payloads.blocks[i];
          if (payload.raw != 0) decoder.decode(payload, stored.data() + (payload.at - begin), memory.data() + payload.target);
        }
      }
    });
  });
}

Sample restore_with_program(const Setup& setup, const std::vector<std::string>& words) {
  FreshMemory memory(setup.guest_bytes, false);
  return run_program(words, [&](int fd) {
    std::size_t done = 0;
    while (done < setup.guest_bytes) {
      const ssize_t got = ::read(fd, memory.data() + done, setup.guest_bytes - done);
      if (got <= 0) break;
      done += static_cast<std::size_t>(got);
    }
    if (done != setup.guest_bytes) die(words[0] + " gave less than the guest");
  });
}

void measure_codec(const Setup& setup, const Coding& coding, const std::string& program, const std::string& bare_name) {
  const std::string name = coding_name(coding);
  const ScratchFile snapshot(setup.data, name);
  const ScratchFile packed(setup.data, program);
  create_snapshot(setup.guest, snapshot.path(), writer_options(coding, setup.threads));
  const std::string level = coding.codec == snap::Codec::kLz4 ? "-1" : "-3";
  output_of({"sh", "-c", program + " " + level + " -c '" + setup.guest + "' > " + packed.path()});
  const Payloads payloads = load_payloads(snapshot.path());
  const ScratchFile bare_file(setup.data, name + "-payloads");
  write_file(bare_file.path(), payloads.bytes);

  const auto times = contest(
      {
          {"library", [&] { return restore_snapshot(setup, snapshot.path(), false); }},
          {"bare", [&] { return restore_bare(setup, payloads, false); }},
          {"reading", [&] { return restore_reading(setup, payloads, bare_file.path(), false); }},
          {program,
           [&] {
             return restore_with_program(setup, {program, "-dcq", packed.path()});
           }},
      },
      setup.rounds);
  // On their own: a huge page is dear where the small pages of somebody else have just been freed.
  const auto huge = contest(
      {
          {"library", [&] { return restore_snapshot(setup, snapshot.path(), true); }},
          {"bare", [&] { return restore_bare(setup, payloads, true); }},
          {"reading", [&] { return restore_reading(setup, payloads, bare_file.path(), true); }},
      },
      setup.rounds);
  const double bytes = static_cast<double>(setup.guest_bytes);
  const std::string what = "restore " + name + ", " + std::to_string(setup.threads) + " threads";
  const auto goal = [](double bound) { return std::optional<Target>({bound, true}); };
  setup.report->add_rate("1", what, bytes, kGiga, "GB/s", times[0], bare_name, times[1], goal(0.85));
  setup.report->add_rate("1", what + ", huge pages", bytes, kGiga, "GB/s", huge[0], bare_name, huge[1], goal(0.85));
  setup.report->add_rate("1", what, bytes, kGiga, "GB/s", times[0], "the same, reading the file", times[2]);
  setup.report->add_rate("1", what + ", huge pages", bytes, kGiga, "GB/s", huge[0], "the same, reading the file", huge[2]);
  setup.report->add_rate("1", what, bytes, kGiga, "GB/s", times[0], program + " -dc into memory", times[3],
                         coding.codec == snap::Codec::kLz4 ? goal(4) : std::nullopt);
}

}  // namespace

void measure_restore(const Setup& setup) {
  measure_memcpy(setup);
  measure_codec(setup, {snap::Codec::kLz4, 1}, "lz4", "LZ4_decompress_safe alone");
  measure_codec(setup, {snap::Codec::kZstd, 3}, "zstd", "ZSTD_decompressDCtx alone");
}

}  // namespace bench
