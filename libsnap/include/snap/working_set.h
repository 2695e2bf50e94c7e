// SPDX-License-Identifier: Apache-2.0
// The order in which a guest first touched its memory, stored in its snapshot: SPEC 10. Nothing else in a snapshot depends on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "snap/io.h"
#include "snap/model.h"
#include "snap/result.h"

#pragma GCC visibility push(default)
namespace snap {

inline constexpr std::size_t kMostTouchedRanges = 65536;

/// Why the ranges cannot be a working set of these regions: null where they can. They are of memory, inside it, no page is in two of them,
/// and there are at most kMostTouchedRanges.
const char* working_set_fault(std::span<const TouchedRange> ranges, std::span<const RegionInfo> regions);

/// In the order of first touch, as the snapshot has it stored; empty where it has none. Five reads, whatever the file's size. What is wrong
/// with a working set is an error of this call only: the snapshot can be read as ever. Where its head or tail is damaged, it is not found.
Result<std::vector<TouchedRange>> read_working_set(RandomSource& source);

/// The snapshot in `source`, byte for byte, but with this working set in place of the one it may have, damaged or not; empty: with none.
/// kInvalidArgument for ranges that cannot be one. Of the source no more is checked than what is made anew.
Result<void> write_with_working_set(RandomSource& source, std::span<const TouchedRange> ranges, ByteSink& sink);

/// The same for who can copy a file's front at less cost: its first bytes that stay, and all that follows them.
struct WorkingSetEdit {
  std::uint64_t front_bytes = 0;
  std::vector<std::byte> end;
};
Result<WorkingSetEdit> edit_working_set(RandomSource& source, std::span<const TouchedRange> ranges);

}  // namespace snap
#pragma GCC visibility pop
