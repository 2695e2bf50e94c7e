// SPDX-License-Identifier: Apache-2.0
// Figures of snapshots that are differences against a parent.
#pragma once

#include "guest_image.h"

namespace bench {

/// Figure 6: real pairs, as bench/guest/make-pairs.sh leaves them in a directory.
void measure_pairs(const Setup& setup, const std::string& directory);
/// Figure 7: making a child of which one page in a hundred changed.
void measure_small_change(const Setup& setup);

struct RestoreMany {
  unsigned count = 30;
  std::size_t bytes = 512u << 20;  ///< of each child
  double share = 0.05;             ///< of its pages changed
};
/// Figure 8: many children of one base. Without a guest, on memory that is made up.
void measure_restore_many(const Setup& setup, const RestoreMany& many);
/// Figure 9: random reads through a chain.
void measure_chain(const Setup& setup);

}  // namespace bench
