// SPDX-License-Identifier: Apache-2.0
#include "states.h"

#include <fmt/format.h>

#include <algorithm>

#include "signals.h"
#include "snap/restore.h"
#include "text.h"

namespace snap::tool {

std::vector<StateFile> parse_states(const std::vector<std::string>& options) {
  std::vector<StateFile> states;
  for (const std::string& each : options) {
    const std::size_t end = each.find('=');
    if (end == std::string::npos || end == 0 || end + 1 == each.size()) fail_usage(fmt::format("--state {}: is no NAME=FILE", each));
    const std::string name = each.substr(0, end);
    const bool twice = std::any_of(states.begin(), states.end(), [&](const StateFile& other) { return other.name == name; });
    if (twice) fail_usage(fmt::format("--state {}: that state is there twice", name));
    states.push_back({name, each.substr(end + 1)});
  }
  return states;
}

Result<void> take_states(const std::vector<StateFile>& states, Writer& writer) {
  for (const StateFile& state : states) {
    Input file(state.path, Format::kRaw);
    RegionInfo info;
    info.kind = RegionKind::kState;
    info.name = state.name;
    if (Result<void> begun = writer.begin_region(info); !begun) return begun;
    if (Result<void> taken = writer.write_rest(file.in_order()); !taken) {
      if (file.failed()) file.fail(taken.error());
      return taken;
    }
    if (Result<void> ended = writer.end_region(); !ended) return ended;
  }
  return {};
}

Result<void> emit_states(const std::vector<StateFile>& states, Reader& reader, const Input& input, std::deque<Output>& files) {
  std::vector<std::size_t> regions;
  for (const StateFile& state : states) {
    const auto region = reader.find(RegionKind::kState, state.name);
    if (!region) throw Failure{kExitNotFound, fmt::format("{}: has no state '{}'", input.name(), printable(state.name))};
    regions.push_back(*region);
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    Output& file = files.emplace_back(states[i].path, input);
    const auto done = restore_to_sink(reader, regions[i], file.sink(), {.threads = 0, .cancel = &cancel_flag()});
    if (!done) return done;
  }
  return {};
}

}  // namespace snap::tool
