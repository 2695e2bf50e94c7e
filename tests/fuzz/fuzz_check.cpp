// SPDX-License-Identifier: Apache-2.0
// Any bytes as a snapshot that is checked and repaired. What check() finds clean is read by both readers, and is the same;
// what repair() gives back is clean.
#include "fuzz/judge.h"
#include "fuzz/mutate.h"

using namespace snap;
using namespace snap::test;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return mutate_container(data, size, max_size, seed);
}

namespace {

void demand_agreement(std::span<const std::byte> file, const CheckReport& report) {
  auto source = memory_source(file);
  auto reader = Reader::open(*source);
  demand(reader.has_value(), "clean, but cannot be opened");
  Kept kept;
  const auto streamed = read_through(file, kept);
  demand(streamed.has_value(), "clean, but cannot be read front to back");
  demand((*reader)->digest() == report.digest && streamed->digest == report.digest, "clean, but of another digest");
  Pages pages;
  for (std::size_t region = 0; region < (*reader)->regions().size(); ++region) {
    demand(read_region(**reader, region, pages, std::uint64_t{64} << 20), "clean, but cannot be read");
  }
  demand(pages == kept.pages, "clean, but two ways to read give other bytes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  auto source = memory_source(file);
  const auto report = check(*source);
  Bytes out;
  auto sink = memory_sink(out);
  const bool repaired = repair(*source, *sink).has_value();
  if (!report) {
    demand(!repaired, "repaired what could not be checked");
    return 0;
  }
  demand(report->clean() || !report->damages.empty(), "damage that is not listed");
  demand(repaired == (report->clean() || report->repairable), "repair and check do not agree");
  if (report->clean()) {
    demand(report->complete && report->lost.empty() && report->lost_bytes == 0, "clean, but not whole");
    demand(std::equal(out.begin(), out.end(), file.begin(), file.end()), "repair changed a clean file");
    demand_agreement(file, *report);
  } else if (repaired) {
    auto again = memory_source(out);
    const auto second = check(*again);
    demand(second.has_value() && second->clean(), "repaired, but not clean");
  }
  return 0;
}
