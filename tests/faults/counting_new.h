// SPDX-License-Identifier: Apache-2.0
// This program's operator new: it counts, and fails when told to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace snap::test {

inline constexpr std::uint64_t kNeverFail = std::numeric_limits<std::uint64_t>::max();

/// From now on the n-th allocation (from 0) of any thread fails, or all from it on.
void fail_allocation(std::uint64_t n, bool sticky);
void allocate_again();
/// Whether one failed since fail_allocation().
bool allocation_failed();

/// Bytes allocated and not freed, and the most there were since reset_peak().
std::size_t live_bytes();
std::size_t peak_bytes();
void reset_peak();

}  // namespace snap::test
