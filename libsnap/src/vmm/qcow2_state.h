// SPDX-License-Identifier: Apache-2.0
// The bytes of a qcow2 image behind the end of its disk, where an internal snapshot keeps the VM state.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "snap/io.h"

namespace snap {

struct Qcow2Geometry {
  unsigned version = 2;
  unsigned cluster_log2 = 12;
  std::uint64_t file_bytes = 0;
  bool zstd_clusters = false;

  std::uint64_t cluster_bytes() const { return std::uint64_t{1} << cluster_log2; }
  unsigned l1_span_log2() const { return 2 * cluster_log2 - 3; }
  std::uint64_t l1_span() const { return std::uint64_t{1} << l1_span_log2(); }
};

/// Clusters never written read as zeros; a backing file is never asked. Clusters contiguous in the file are read in one go.
class Qcow2State final : public RandomSource {
 public:
  /// `l1`: the snapshot's L1 entries from the VM state's first on.
  Qcow2State(RandomSource& file, const Qcow2Geometry& geometry, std::vector<std::uint64_t> l1, std::uint64_t bytes)
      : file_(file), geometry_(geometry), l1_(std::move(l1)), bytes_(bytes) {}

  Result<std::uint64_t> size() override { return bytes_; }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override;

  /// For containers that know their size better than the snapshot table. Before other threads know this object.
  void set_size(std::uint64_t bytes) { bytes_ = bytes; }
  /// What the L1 table reaches, and no more than the file can hold: VM state is written uncompressed and without holes.
  std::uint64_t capacity() const;

 private:
  struct Mapping {
    enum Kind { kZero, kData, kCompressed } kind = kZero;
    std::uint64_t offset = 0;  ///< in the file; kCompressed: the whole L2 entry
  };
  Result<Mapping> map(std::uint64_t cluster);
  Result<void> load_l2(std::uint64_t l1_index);
  Result<std::size_t> read_run(std::uint64_t offset, std::span<std::byte> out);
  Result<void> read_data(std::uint64_t file_offset, std::span<std::byte> out);
  Result<void> inflate_cluster(std::uint64_t entry);

  RandomSource& file_;
  const Qcow2Geometry geometry_;
  const std::vector<std::uint64_t> l1_;
  std::uint64_t bytes_;

  std::mutex mutex_;  // guards what follows: one L2 table and one inflated cluster are kept
  std::uint64_t l2_index_ = ~std::uint64_t{0};
  Bytes l2_;
  std::uint64_t inflated_entry_ = 0;
  Bytes inflated_;
};

}  // namespace snap
