// SPDX-License-Identifier: Apache-2.0
// Any bytes as a snapshot that is checked and repaired. What check() finds clean is read by both readers, and is the same;
// what repair() gives back is clean.
#include "fuzz/judge.h"
#include "fuzz/mutate.h"
#include "snap/working_set.h"

using namespace snap;
using namespace snap::test;

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return mutate_container(data, size, max_size, seed);
}

namespace {

void demand_agreement(std::span<const std::byte> file, const CheckReport& report, Reader* parent) {
  auto source = memory_source(file);
  auto reader = Reader::open(*source, {.parent = parent});
  demand(reader.has_value(), "clean, but cannot be opened");
  const auto ranges = read_working_set(*source);
  demand(ranges.has_value(), "clean, but its working set cannot be read");
  Bytes again;
  auto sink = memory_sink(again);
  demand(write_with_working_set(*source, *ranges, *sink).has_value(), "clean, but its working set cannot be stored");
  demand(std::equal(again.begin(), again.end(), file.begin(), file.end()), "its own working set stored changed a clean file");
  Kept kept;
  const auto streamed = read_through(file, kept, parent);
  demand(streamed.has_value(), "clean, but cannot be read front to back");
  demand((*reader)->digest() == report.digest && streamed->digest == report.digest, "clean, but of another digest");
  Pages pages;
  for (std::size_t region = 0; region < (*reader)->regions().size(); ++region) {
    demand(read_region(**reader, region, pages, std::uint64_t{64} << 20), "clean, but cannot be read");
  }
  demand(pages == kept.pages, "clean, but two ways to read give other bytes");
  for (std::size_t region = 0; region < (*reader)->regions().size(); ++region) {
    const auto digest = (*reader)->range_digest(region, 4, 0);
    demand(digest.has_value(), "clean, but without a digest");
  }
}

// Without the parent less is looked at: what is damaged then is damaged with it too.
void demand_less_without_parent(RandomSource& source, const Result<CheckReport>& with) {
  const auto without = check(source);
  if (!without || !with) return;
  demand(without->clean() || !with->clean(), "damage that is not seen with the parent");
  demand(!with->clean() || (without->complete && without->parent == with->parent && without->digest == with->digest), "two reports of a clean file");
  demand(!with->clean() || with->content_compared, "clean, but not compared with the parent at hand");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span file(reinterpret_cast<const std::byte*>(data), size);
  auto source = memory_source(file);
  const CheckOptions options{.parent = parent_for(file)};
  const auto report = check(*source, options);
  if (options.parent != nullptr) demand_less_without_parent(*source, report);
  Bytes out;
  auto sink = memory_sink(out);
  const bool repaired = repair(*source, *sink, options).has_value();
  if (!report) {
    demand(!repaired, "repaired what could not be checked");
    return 0;
  }
  demand(report->clean() || !report->damages.empty(), "damage that is not listed");
  demand(repaired == (report->clean() || report->repairable), "repair and check do not agree");
  if (report->clean()) {
    demand(report->complete && report->lost.empty() && report->lost_bytes == 0, "clean, but not whole");
    demand(std::equal(out.begin(), out.end(), file.begin(), file.end()), "repair changed a clean file");
    demand_agreement(file, *report, options.parent);
  } else if (repaired) {
    auto again = memory_source(out);
    const auto second = check(*again, {.parent = parent_for(out)});
    demand(second.has_value() && second->clean(), "repaired, but not clean");
  }
  return 0;
}
