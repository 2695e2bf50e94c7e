// SPDX-License-Identifier: Apache-2.0
#include "changes.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "info.h"
#include "text.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kWriteBytes = 64u << 10;

// Names in foreign files need not be UTF-8.
std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json blocks_json(const Reader& reader, std::size_t region) {
  const RegionInfo& info = reader.regions()[region];
  const std::uint64_t blocks = block_count(reader, info);
  const std::uint64_t stored = reader.region_stats(region).block_records;
  return {{"name", info.name}, {"bytes", info.size}, {"blocks", blocks}, {"stored", stored}, {reader.parent_ref() ? "same_as_parent" : "zero", blocks - stored}};
}

/// Text that goes out piece by piece: a guest may have millions of changes.
class Text {
 public:
  explicit Text(ByteSink& sink) : sink_(sink) {}
  Result<void> add(std::string_view text) {
    text_ += text;
    return text_.size() < kWriteBytes ? Result<void>() : flush();
  }
  Result<void> flush() {
    auto done = sink_.write(std::as_bytes(std::span(text_)));
    text_.clear();
    return done;
  }

 private:
  ByteSink& sink_;
  std::string text_;
};

}  // namespace

std::string change_json(const RegionInfo& region, const ChangedRange& range) {
  Json json{{"region", region.name}, {"offset", range.offset}, {"bytes", range.length}, {"zero", range.zero}, {"guest", Json::array()}};
  for (const Placement& placement : region.placements) {
    const Placement part = clip(placement, range.offset, range.length);
    if (part.length != 0) json["guest"].push_back({{"guest_address", part.guest_address}, {"bytes", part.length}});
  }
  return dumped(json);
}

Result<void> write_map_json(Reader& reader, ByteSink& sink) {
  Json head{{"digest", to_hex(reader.digest())}, {"parent", nullptr}, {"block_bytes", reader.block_bytes()}, {"regions", Json::array()}};
  if (const auto& parent = reader.parent_ref()) head["parent"] = to_hex(parent->digest);
  for (std::size_t region = 0; region < reader.regions().size(); ++region) {
    if (reader.regions()[region].kind == RegionKind::kMemory) head["regions"].push_back(blocks_json(reader, region));
  }
  std::string opening = dumped(head);
  opening.pop_back();  // the changes are its last member
  Text text(sink);
  const char* separator = "";
  if (auto done = text.add(opening + ",\n\"changes\":["); !done) return done;
  for (std::size_t region = 0; region < reader.regions().size(); ++region) {
    const RegionInfo& info = reader.regions()[region];
    if (info.kind != RegionKind::kMemory) continue;
    auto done = visit_changes(reader, region, [&](const ChangedRange& range) -> Result<void> {
      const char* const before = std::exchange(separator, ",");
      return text.add(std::string(before) + "\n" + change_json(info, range));
    });
    if (!done) return done;
  }
  if (auto done = text.add("\n]}\n"); !done) return done;
  return text.flush();
}

}  // namespace snap::tool
