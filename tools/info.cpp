// SPDX-License-Identifier: Apache-2.0
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.h"
#include "info.h"
#include "lineage.h"
#include "open.h"
#include "qemu_needs.h"
#include "recording.h"
#include "report.h"
#include "snap/import.h"
#include "snap/reader.h"
#include "snap/working_set.h"
#include "text.h"
#include "tree.h"

namespace snap::tool {
namespace {

using Json = nlohmann::ordered_json;

double zero_share(const Reader& reader, std::size_t region) {
  const std::uint64_t blocks = block_count(reader, reader.regions()[region]);
  if (blocks == 0) return 0;
  return 1 - static_cast<double>(reader.region_stats(region).block_records) / static_cast<double>(blocks);
}

std::uint64_t content_bytes(const Reader& reader, RegionKind kind) {
  std::uint64_t total = 0;
  for (const RegionInfo& region : reader.regions()) total += region.kind == kind ? region.size : 0;
  return total;
}

/// The file's size against that of what it holds; 0 where it holds nothing.
double ratio(const Reader& reader) {
  const std::uint64_t content = content_bytes(reader, RegionKind::kMemory) + content_bytes(reader, RegionKind::kState);
  return content == 0 ? 0 : static_cast<double>(reader.file_bytes()) / static_cast<double>(content);
}

/// A number of the header: little-endian in a snapshot, big-endian in a VM state.
std::uint32_t version_at(Input& input, std::uint64_t offset, bool little_endian) {
  std::byte bytes[4] = {};
  must(input.source().read_at(offset, bytes), input.name());
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(bytes[i]) << (little_endian ? 8 * i : 24 - 8 * i);
  return value;
}

Json region_json(const Reader& reader, std::size_t index) {
  const RegionInfo& region = reader.regions()[index];
  Json json{{"name", region.name}, {"bytes", region.size}, {"digest", to_hex(reader.region_digest(index))}};
  json["blocks"] = block_count(reader, region);
  json["stored_blocks"] = reader.region_stats(index).block_records;
  if (region.kind != RegionKind::kMemory) return json;
  json["zero_share"] = reader.parent_ref() ? Json(nullptr) : Json(zero_share(reader, index));
  json["guest_page_bytes"] = std::uint64_t{1} << region.guest_page_log2;
  json["placements"] = Json::array();
  for (const Placement& each : region.placements) {
    json["placements"].push_back({{"guest_address", each.guest_address}, {"offset", each.offset}, {"bytes", each.length}});
  }
  return json;
}

Json snapshot_json(Input& input, const Reader& reader, const Lineage* lineage) {
  Json json{{"file", input.name()}, {"format", "vmsnap"}, {"file_bytes", reader.file_bytes()}};
  json["format_version"] = version_at(input, 8, true);
  json["digest"] = to_hex(reader.digest());
  json["block_bytes"] = reader.block_bytes();
  json["memory_bytes"] = content_bytes(reader, RegionKind::kMemory);
  json["state_bytes"] = content_bytes(reader, RegionKind::kState);
  json["ratio"] = ratio(reader);
  json["regions"] = Json::array();
  json["states"] = Json::array();
  for (std::size_t i = 0; i < reader.regions().size(); ++i) {
    json[reader.regions()[i].kind == RegionKind::kMemory ? "regions" : "states"].push_back(region_json(reader, i));
  }
  json["metadata"] = reader.metadata();
  if (const auto needs = qemu_needs(reader)) {
    json["qemu"] = {{"machine", needs->machine}, {"memory", needs->memory}, {"ram", needs->ram}, {"arguments", needs->arguments}};
  }
  if (lineage != nullptr) lineage->add_to(json);
  if (const auto ranges = read_working_set(input.source()); !ranges) {
    json["working_set"] = nullptr;
  } else if (!ranges->empty()) {
    json["working_set"] = {{"ranges", ranges->size()}, {"bytes", touched_bytes(reader, *ranges)}};
  }
  return json;
}

std::string region_text(const Reader& reader, std::size_t index) {
  const RegionInfo& region = reader.regions()[index];
  std::string text = fmt::format("  {:<24} {:>10}", printable(region.name), human_bytes(region.size));
  if (region.kind == RegionKind::kMemory) {
    text += fmt::format("  {} of {} blocks stored, ", reader.region_stats(index).block_records, block_count(reader, region));
    text += reader.parent_ref() ? "the others as in the parent" : percent(zero_share(reader, index)) + " zero";
  }
  text += '\n';
  for (const Placement& each : region.placements) {
    text += fmt::format("    guest {:#x}-{:#x} is at {:#x}\n", each.guest_address, each.guest_address + (each.length - 1),
                        each.offset);
  }
  return text;
}

std::string snapshot_text(Input& input, const Reader& reader, const Lineage* lineage) {
  const std::uint64_t memory = content_bytes(reader, RegionKind::kMemory), state = content_bytes(reader, RegionKind::kState);
  std::string text = fmt::format("file:        {}\nformat:      vmsnap, version {}\n", input.name(), version_at(input, 8, true));
  text += fmt::format("size:        {} ({} bytes), {} of its content\n", human_bytes(reader.file_bytes()), reader.file_bytes(),
                      percent(ratio(reader)));
  text += fmt::format("content:     {} of memory, {} of state\n", human_bytes(memory), human_bytes(state));
  text += fmt::format("digest:      {}\nblock size:  {} KiB\n", to_hex(reader.digest()), reader.block_bytes() / 1024);
  if (lineage != nullptr) text += lineage->text();
  if (const auto ranges = read_working_set(input.source()); !ranges) {
    text += fmt::format("working set: cannot be read: {}\n", describe(ranges.error()));
  } else if (!ranges->empty()) {
    text += fmt::format("working set: {}, {}\n", plural(ranges->size(), "range"), human_bytes(touched_bytes(reader, *ranges)));
  }
  std::string regions, states;
  for (std::size_t i = 0; i < reader.regions().size(); ++i) {
    (reader.regions()[i].kind == RegionKind::kMemory ? regions : states) += region_text(reader, i);
  }
  if (!regions.empty()) text += "memory:\n" + regions;
  if (!states.empty()) text += "states:\n" + states;
  if (!reader.metadata().empty()) text += "metadata:\n";
  for (const auto& [key, value] : reader.metadata()) text += fmt::format("  {:<24} {}\n", key, printable(value));
  if (const auto needs = qemu_needs(reader)) text += fmt::format("QEMU needs:\n  {}\n", printable(needs->line()));
  return text;
}

std::string clock_text(std::uint64_t nanoseconds) {
  const std::uint64_t seconds = nanoseconds / 1'000'000'000;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, nanoseconds / 1'000'000 % 1000);
}

std::string date_text(std::uint64_t unix_seconds) {
  const auto when = static_cast<std::time_t>(unix_seconds);
  std::tm local{};
  return ::localtime_r(&when, &local) == nullptr ? "-" : fmt::format("{:%Y-%m-%d %H:%M:%S}", local);
}

Json image_json(Input& input, const std::vector<Qcow2Snapshot>& snapshots) {
  Json json{{"file", input.name()}, {"format", "qcow2"}, {"file_bytes", input.size()}, {"snapshots", Json::array()}};
  for (const Qcow2Snapshot& each : snapshots) {
    json["snapshots"].push_back({{"id", each.id},
                                 {"name", each.name},
                                 {"vm_state_bytes", each.vm_state_bytes},
                                 {"date_sec", each.date_sec},
                                 {"date_nsec", each.date_nsec},
                                 {"vm_clock_nsec", each.vm_clock_nsec},
                                 {"disk_bytes", each.disk_bytes}});
  }
  return json;
}

std::string image_text(Input& input, const std::vector<Qcow2Snapshot>& snapshots) {
  std::string text = fmt::format("file:        {}\nformat:      qcow2\nsize:        {} ({} bytes)\n", input.name(),
                                 human_bytes(input.size()), input.size());
  if (snapshots.empty()) return text + "snapshots:   none\n";
  text += fmt::format("snapshots:\n{:<8}  {:<18} {:>10}  {:<19}  {:>13}\n", "ID", "TAG", "VM STATE", "DATE", "VM CLOCK");
  for (const Qcow2Snapshot& each : snapshots) {
    text += fmt::format("{:<8}  {:<18} {:>10}  {:<19}  {:>13}\n", printable(each.id), printable(each.name),
                        human_bytes(each.vm_state_bytes), date_text(each.date_sec), clock_text(each.vm_clock_nsec));
  }
  return text;
}

// Names in foreign files need not be UTF-8.
std::string dumped(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

void print_json(const Json& json) { print(dumped(json)); }

void info_of_snapshot(Input& input, const ParentPlaces& places, bool as_json) {
  const auto reader = Reader::open(input.source(), {.cache_bytes = 1u << 20, .without_parent = true});
  if (!reader) input.fail(reader.error());
  std::optional<Lineage> lineage;
  if ((*reader)->parent_ref()) lineage.emplace(input, **reader, places);
  const Lineage* const parents = lineage ? &*lineage : nullptr;
  as_json ? print_json(snapshot_json(input, **reader, parents)) : print(snapshot_text(input, **reader, parents));
}

void info_of_image(Input& input, bool as_json) {
  const auto snapshots = must(list_qcow2_snapshots(input.source()), input.name());
  as_json ? print_json(image_json(input, snapshots)) : print(image_text(input, snapshots));
}

void info_of_stream(Input& input, bool as_json) {
  const std::uint64_t bytes = input.size();
  Json json{{"file", input.name()}, {"format", format_name(input.format())}, {"file_bytes", bytes}};
  std::string what = input.format() == Format::kRaw ? "raw (no format is recognised)" : format_name(input.format());
  if (input.format() == Format::kVmstate) {
    const std::uint32_t version = version_at(input, 4, false);
    json["container_version"] = version;
    what = fmt::format("vmstate, a stream of QEMU, container version {}", version);
  }
  if (as_json) return print_json(json);
  print(fmt::format("file:        {}\nformat:      {}\nsize:        {} ({} bytes)\n", input.name(), what, human_bytes(bytes),
                    bytes));
}

int info(const std::string& file, const ParentPlaces& places, bool as_json) {
  Input input(file);
  switch (input.format()) {
    case Format::kVmsnap:
      info_of_snapshot(input, places, as_json);
      break;
    case Format::kQcow2:
      info_of_image(input, as_json);
      break;
    default:
      info_of_stream(input, as_json);
      break;
  }
  return kExitOk;
}

}  // namespace

std::uint64_t block_count(const Reader& reader, const RegionInfo& region) {
  return region.size / reader.block_bytes() + (region.size % reader.block_bytes() != 0 ? 1 : 0);
}

std::string info_json(Input& input, const Reader& reader) {
  Json json = snapshot_json(input, reader, nullptr);
  if (const auto& parent = reader.parent_ref()) {
    json["depth"] = reader.depth();
    json["parent"] = {{"digest", to_hex(parent->digest)}, {"hint", parent->hint}};
  }
  return dumped(json);
}

Command add_info(Options& options) {
  struct Args {
    std::string file, output = "human";
    ParentPlaces parents;
    bool tree = false;
  };
  auto args = std::make_shared<Args>();
  options.flag("--tree", args->tree, "FILE is a directory: the snapshots in it, as children of their parents");
  options.parents(args->parents);
  options.output(args->output);
  options.operand("FILE", args->file, "A file of any format that convert reads");
  return [args] {
    if (args->tree && !args->parents.empty()) fail_usage("--parent is for a file, not for --tree");
    const bool as_json = args->output == "json";
    return args->tree ? print_tree(args->file, as_json) : info(args->file, args->parents, as_json);
  };
}

}  // namespace snap::tool
