// SPDX-License-Identifier: Apache-2.0
#include "lineage.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "text.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kCacheBytes = 8u << 20;

void add(ReadCost& sum, const ReadCost& region) {
  const auto before = static_cast<double>(sum.pages), more = static_cast<double>(region.pages);
  sum.pages += region.pages;
  if (sum.pages == 0) return;
  sum.mean_files = (sum.mean_files * before + region.mean_files * more) / static_cast<double>(sum.pages);
  sum.mean_bytes = (sum.mean_bytes * before + region.mean_bytes * more) / static_cast<double>(sum.pages);
  sum.worst_files = std::max(sum.worst_files, region.worst_files);
  sum.worst_bytes = std::max(sum.worst_bytes, region.worst_bytes);
}

Json digest_and_hint(const ParentRef& parent) { return {{"digest", to_hex(parent.digest)}, {"hint", parent.hint}}; }

}  // namespace

Lineage::Lineage(Input& input, const Reader& reader, const ParentPlaces& places)
    : parent_(*reader.parent_ref()), depth_(reader.depth()), chain_(places) {
  try {
    Reader& parent = chain_.open(parent_, depth_, input.name(), input.directory());
    whole_ = true;
    price(input, parent);
  } catch (const Failure& failure) {
    if (failure.status > 128) throw;
    say(failure.message);
  }
}

void Lineage::price(Input& input, Reader& parent) {
  auto reader = Reader::open(input.source(), {.cache_bytes = kCacheBytes, .parent = &parent});
  if (!reader) input.fail(reader.error());
  ReadCost sum;
  for (std::size_t i = 0; i < (*reader)->regions().size(); ++i) {
    if ((*reader)->regions()[i].kind != RegionKind::kMemory) continue;
    const auto cost = read_cost(**reader, i);
    if (!cost) fail(chain_.name_of(cost.error(), input.name()), cost.error());
    add(sum, *cost);
  }
  cost_ = sum;
}

std::optional<ParentRef> Lineage::missing() const {
  if (whole_) return std::nullopt;
  return chain_.links().empty() ? std::optional(parent_) : chain_.links().back().info.parent;
}

void Lineage::add_to(Json& json) const {
  json["depth"] = depth_;
  json["parent"] = digest_and_hint(parent_);
  json["chain"] = Json::array();
  for (const Chain::Link& link : chain_.links()) {
    json["chain"].push_back({{"file", link.file->name()},
                             {"found", true},
                             {"digest", to_hex(link.info.digest)},
                             {"depth", link.info.depth},
                             {"file_bytes", link.info.file_bytes}});
  }
  if (const auto lost = missing()) {
    json["chain"].push_back({{"file", nullptr}, {"found", false}, {"digest", to_hex(lost->digest)}, {"hint", lost->hint}});
  }
  json["cold_read"] = nullptr;
  if (!cost_) return;
  json["cold_read"] = {{"pages", cost_->pages},
                       {"mean_files", cost_->mean_files},
                       {"mean_bytes", cost_->mean_bytes},
                       {"worst_files", cost_->worst_files},
                       {"worst_bytes", cost_->worst_bytes}};
}

std::string Lineage::text() const {
  std::string text = "parents:\n";
  unsigned number = 0;
  for (const Chain::Link& link : chain_.links()) {
    text += fmt::format("  {}  {}, {}, depth {}\n     digest {}\n", ++number, printable(link.file->name()), human_bytes(link.info.file_bytes),
                        link.info.depth, to_hex(link.info.digest));
  }
  if (const auto lost = missing()) {
    text += fmt::format("  {}  '{}' not found\n     digest {}\n", ++number, printable(lost->hint), to_hex(lost->digest));
  }
  text += "cold read:   ";
  if (!cost_) return text + "not known\n";
  return text + fmt::format("of a page: {:.2f} files and {} on average, {} file{} and {} at worst\n", cost_->mean_files,
                            human_bytes(static_cast<std::uint64_t>(cost_->mean_bytes)), cost_->worst_files,
                            cost_->worst_files == 1 ? "" : "s", human_bytes(cost_->worst_bytes));
}

}  // namespace snap::tool
