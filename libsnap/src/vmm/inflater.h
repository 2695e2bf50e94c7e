// SPDX-License-Identifier: Apache-2.0
// A zlib stream inflated in pieces, by ISA-L.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "snap/result.h"

struct inflate_state;

namespace snap {

class Inflater {
 public:
  Inflater();
  ~Inflater();

  void give(std::span<const std::byte> in);
  bool wants_input() const { return starved_; }
  /// Inflates until `out` is full, the input is used up or the stream ends; answers the bytes written. kCorrupt without offset
  /// where the stream is damaged, its checksum included.
  Result<std::size_t> run(std::span<std::byte> out);
  bool finished() const { return finished_; }
  /// Input bytes used, of all given.
  std::uint64_t consumed() const;

 private:
  std::unique_ptr<inflate_state> state_;
  std::uint64_t given_ = 0;
  bool starved_ = true;
  bool finished_ = false;
};

}  // namespace snap
