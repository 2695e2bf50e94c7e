// SPDX-License-Identifier: Apache-2.0
// The figures, each beside its peer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "measure.h"

namespace bench {

/// What a figure is held against.
struct Target {
  double bound = 0;
  bool at_least = true;
};

struct Figure {
  std::string part;  ///< the number of the figure in docs/performance.md
  std::string what;
  std::string unit;
  Stat ours;
  std::string peer_name;  ///< empty: no peer
  Stat peer;
  double result = 0;  ///< what the target speaks of; mostly the ratio of the medians
  std::string result_unit;
  std::optional<double> best_ratio;  ///< of the best runs of both
  std::optional<double> cpu_ratio;   ///< of CPU time, turned so that more is better, as in result
  std::optional<Target> target;
  bool met() const { return !target || (target->at_least ? result >= target->bound : result <= target->bound); }
};

class Report {
 public:
  void machine(const std::string& key, const std::string& value) { machine_.emplace_back(key, value); }
  void add(const Figure& figure);
  /// `amount` in `unit` a second: ours against a peer's, both in seconds.
  void add_rate(const std::string& part, const std::string& what, double amount, double unit_size, const std::string& unit,
                const Series& ours, const std::string& peer_name, const Series& peer, std::optional<Target> target = std::nullopt);
  void print(std::FILE* to) const;
  void write_json(std::FILE* to) const;

 private:
  std::vector<std::pair<std::string, std::string>> machine_;
  std::vector<Figure> figures_;
};

}  // namespace bench
