// SPDX-License-Identifier: Apache-2.0
// Figure 2: single pages at random places.
#include <fcntl.h>

#include <algorithm>
#include <random>

#include "guest_image.h"

namespace bench {

namespace {

constexpr double kMicro = 1e6;

/// One page that is not zero of each block, in an order without sense.
struct Place {
  std::size_t payload = 0;
  std::uint64_t page = 0;
};
std::vector<Place> places(const Payloads& payloads) {
  std::mt19937_64 random(1);
  std::vector<Place> all;
  for (std::size_t i = 0; i < payloads.blocks.size(); ++i) {
    const auto& pages = payloads.blocks[i].pages;
    all.push_back({i, pages[random() % pages.size()]});
  }
  std::shuffle(all.begin(), all.end(), random);
  return all;
}

double median_of_reads(snap::Reader& reader, const std::vector<Place>& at) {
  alignas(4096) std::byte page[snap::kPageBytes];
  std::vector<double> times;
  times.reserve(at.size());
  for (const Place& place : at) {
    const double start = now();
    must(reader.read(0, place.page * snap::kPageBytes, page), "reading a page");
    times.push_back((now() - start) * kMicro);
  }
  return stat_of(std::move(times)).median;
}

double cold_reads(const std::string& path, const std::vector<Place>& at, std::size_t cache_bytes) {
  const File file(path, O_RDONLY);
  const auto source = snap::file_source(file.fd());
  snap::ReaderOptions options;
  options.cache_bytes = cache_bytes;
  auto reader = must(snap::Reader::open(*source, options), "opening a snapshot");
  return median_of_reads(*reader, at);
}

double bare_decodes(const Payloads& payloads, const std::vector<Place>& at, std::uint32_t block_bytes) {
  BareDecoder decoder;
  std::vector<std::byte> block(block_bytes);
  std::vector<double> times;
  times.reserve(at.size());
  for (const Place& place : at) {
    const Payload& payload = payloads.blocks[place.payload];
    const double start = now();
    decoder.decode(payload, payloads.bytes.data() + payload.at, block.data());
    times.push_back((now() - start) * kMicro);
  }
  return stat_of(std::move(times)).median;
}

// As many blocks as a reader's cache holds by default; each page read is in the cache.
double warm_reads(const std::string& path, std::vector<Place> at, const Payloads& payloads) {
  const File file(path, O_RDONLY);
  const auto source = snap::file_source(file.fd());
  auto reader = must(snap::Reader::open(*source), "opening a snapshot");
  at.resize(std::min<std::size_t>(at.size(), 500));
  median_of_reads(*reader, at);
  std::mt19937_64 random(2);
  std::vector<Place> again;
  for (int i = 0; i < 20000; ++i) {
    const std::size_t payload = at[random() % at.size()].payload;
    const auto& pages = payloads.blocks[payload].pages;
    again.push_back({payload, pages[random() % pages.size()]});
  }
  median_of_reads(*reader, again);  // copies of pages of other blocks are filled in when first read
  return median_of_reads(*reader, again);
}

void measure_codec(const Setup& setup, const Coding& coding) {
  const ScratchFile snapshot(setup.data, "reads");
  create_snapshot(setup.guest, snapshot.path(), writer_options(coding, setup.threads));
  const Payloads payloads = load_payloads(snapshot.path());
  const auto at = places(payloads);
  std::vector<double> cold, uncached, bare, warm;
  for (int round = -1; round < setup.rounds; ++round) {
    const double times[] = {cold_reads(snapshot.path(), at, 64u << 20), bare_decodes(payloads, at, coding.block_bytes),
                            cold_reads(snapshot.path(), at, 0), warm_reads(snapshot.path(), at, payloads)};
    if (round < 0) continue;
    cold.push_back(times[0]);
    bare.push_back(times[1]);
    uncached.push_back(times[2]);
    warm.push_back(times[3]);
  }
  const std::string name = coding_name(coding);
  const Stat decode = stat_of(bare);
  const auto add = [&](const std::string& what, std::vector<double> times, std::optional<Target> target) {
    Figure figure{"2", what, "µs", stat_of(std::move(times)), "one bare block decode", decode};
    figure.result = figure.ours.median - decode.median;
    figure.result_unit = "µs more";
    figure.target = target;
    setup.report->add(figure);
  };
  add("4 KiB cold " + name, cold, Target{5, false});
  add("4 KiB cold " + name + ", no cache at all", uncached, std::nullopt);
  Figure figure{"2", "4 KiB warm " + name, "µs", stat_of(warm)};
  figure.result = figure.ours.median;
  figure.result_unit = "µs";
  figure.target = Target{1, false};
  setup.report->add(figure);
}

}  // namespace

void measure_random_reads(const Setup& setup) {
  measure_codec(setup, {snap::Codec::kLz4, 1});
  measure_codec(setup, {snap::Codec::kZstd, 3});
}

}  // namespace bench
