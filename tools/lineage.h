// SPDX-License-Identifier: Apache-2.0
// What `vmsnap info` says of a difference: its parents, as far as they are found, and what reading through them costs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "chain.h"
#include "snap/restore.h"

namespace snap::tool {

class Lineage {
 public:
  /// `reader`: the snapshot, opened without its parent. A parent that is not found, or not fit, is told of on stderr.
  Lineage(Input& input, const Reader& reader, const ParentPlaces& places);

  /// Adds depth, parent, chain and cold_read.
  void add_to(nlohmann::ordered_json& json) const;
  std::string text() const;

 private:
  void price(Input& input, Reader& parent);
  /// The parent that ends the chain before its end.
  std::optional<ParentRef> missing() const;

  ParentRef parent_;
  unsigned depth_;
  Chain chain_;
  bool whole_ = false;
  std::optional<ReadCost> cost_;
};

}  // namespace snap::tool
