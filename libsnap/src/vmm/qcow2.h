// SPDX-License-Identifier: Apache-2.0
// Reading qcow2 images (versions 2 and 3) as far as internal snapshots go. A file is hostile until checked: every count is
// bounded by the file's size and the limits below before anything is allocated.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "snap/import.h"
#include "vmm/qcow2_state.h"

namespace snap {

/// As in QEMU since CVE-2014-0144; images within them are all there are.
inline constexpr std::uint32_t kQcow2MaxSnapshots = 65536;
inline constexpr std::uint32_t kQcow2MaxSnapshotExtra = 1024;
inline constexpr std::uint64_t kQcow2MaxSnapshotTable = 64u << 20;
inline constexpr std::uint32_t kQcow2MaxL1Entries = (32u << 20) / 8;

struct Qcow2Entry {
  Qcow2Snapshot info;
  std::uint64_t table_offset = 0;  ///< of this entry in the file
  std::uint64_t l1_offset = 0;
  std::uint32_t l1_entries = 0;
  bool size_is_64_bit = false;  ///< else vm_state_bytes may be the low 32 bits of a larger number
};

class Qcow2Image {
 public:
  static Result<Qcow2Image> open(RandomSource& file);

  Result<std::vector<Qcow2Entry>> snapshots() const;
  /// The VM state of a snapshot, read through the snapshot's own L1 table. The image's source must outlive it.
  Result<std::unique_ptr<Qcow2State>> vm_state(const Qcow2Entry& entry) const;

 private:
  explicit Qcow2Image(RandomSource& file) : file_(&file) {}
  Result<void> parse_version_3();
  Result<Qcow2Entry> snapshot_at(std::uint64_t offset, std::uint64_t& end) const;

  RandomSource* file_;
  Qcow2Geometry geometry_;
  std::uint64_t disk_bytes_ = 0;
  std::uint32_t snapshot_count_ = 0;
  std::uint64_t snapshots_offset_ = 0;
};

/// The entry that `name` means: an ID first, over all entries, then a name; with an empty name the only one with VM state.
Result<Qcow2Entry> choose_qcow2_snapshot(const std::vector<Qcow2Entry>& entries, std::string_view name);

}  // namespace snap
