// SPDX-License-Identifier: Apache-2.0
// --state NAME=FILE: what a VMM keeps in a file of its own beside the memory (Firecracker, Cloud Hypervisor).
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "open.h"
#include "snap/reader.h"
#include "snap/writer.h"

namespace snap::tool {

struct StateFile {
  std::string name;
  std::string path;
};
/// Ends the command where one is no NAME=FILE, or a name comes twice.
std::vector<StateFile> parse_states(const std::vector<std::string>& options);

/// Behind the memory. An error of a state's file ends the command; any other is answered.
Result<void> take_states(const std::vector<StateFile>& states, Writer& writer);

/// Writes each state into a file that is appended to `files`, to be committed behind the memory's; an error is of the last of them, or of
/// the snapshot. Ends the command where the snapshot lacks a state.
Result<void> emit_states(const std::vector<StateFile>& states, Reader& reader, const Input& input, std::deque<Output>& files);

}  // namespace snap::tool
