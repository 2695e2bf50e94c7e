// SPDX-License-Identifier: Apache-2.0
#include "vmm/qcow2.h"

#include <algorithm>

#include "base/fail.h"
#include "io/file.h"
#include "vmm/big_endian.h"

namespace snap {
namespace {

constexpr std::uint32_t kMagic = 0x514649fb;
constexpr std::size_t kVersion2HeaderBytes = 72;
constexpr std::size_t kVersion3HeaderBytes = 104;
constexpr std::size_t kEntryBytes = 40;
constexpr unsigned kMinClusterLog2 = 9;
constexpr unsigned kMaxClusterLog2 = 21;

enum Incompatible : std::uint64_t {
  kDirty = 1,
  kCorruptBit = 2,
  kDataFile = 4,
  kCompressionType = 8,
  kExtendedL2 = 16,
  kKnown = 31,
};

}  // namespace

Result<Qcow2Image> Qcow2Image::open(RandomSource& file) {
  Qcow2Image image(file);
  Qcow2Geometry& geometry = image.geometry_;
  SNAP_TRY_ASSIGN(file_bytes, file.size());
  geometry.file_bytes = file_bytes;
  std::byte header[kVersion2HeaderBytes];
  SNAP_TRY(read_exact(file, 0, header, "the image ends inside its qcow2 header"));
  if (load_be32(header) != kMagic) return corrupt(0, "not a qcow2 image");
  geometry.version = load_be32(header + 4);
  if (geometry.version == 1) return unsupported(4, "qcow version 1 has no snapshots");
  if (geometry.version > 3) return unsupported(4, "unknown qcow2 version", geometry.version);
  if (geometry.version < 2) return corrupt(4, "unknown qcow2 version", geometry.version);
  const std::uint32_t cluster_log2 = load_be32(header + 20);
  if (cluster_log2 < kMinClusterLog2 || cluster_log2 > kMaxClusterLog2) {
    return corrupt(20, "qcow2 cluster size is out of range", cluster_log2);
  }
  geometry.cluster_log2 = cluster_log2;
  image.disk_bytes_ = load_be64(header + 24);
  if (load_be32(header + 32) != 0) return unsupported(32, "encrypted qcow2 image", load_be32(header + 32));
  image.snapshot_count_ = load_be32(header + 60);
  image.snapshots_offset_ = load_be64(header + 64);
  // In version 2 the name of a backing file may stand where version 3 has these fields.
  if (geometry.version == 3) SNAP_TRY(image.parse_version_3());
  if (image.snapshot_count_ > kQcow2MaxSnapshots)
    return fail(Code::kLimit, "too many qcow2 snapshots", 60, image.snapshot_count_);
  return image;
}

Result<void> Qcow2Image::parse_version_3() {
  std::byte header[kVersion3HeaderBytes];
  SNAP_TRY(read_exact(*file_, 0, header, "the image ends inside its qcow2 header"));
  const std::uint64_t features = load_be64(header + 72);
  const std::uint32_t header_bytes = load_be32(header + 100);
  if (header_bytes < kVersion3HeaderBytes) return corrupt(100, "qcow2 header length is too small", header_bytes);
  if (features & kDataFile) return unsupported(72, "qcow2 image with an external data file");
  if (features & kExtendedL2) return unsupported(72, "qcow2 image with extended L2 entries");
  if (features & ~std::uint64_t{kKnown}) return unsupported(72, "qcow2 image with an unknown incompatible feature", features);
  if (features & kCompressionType) {
    std::byte type[1];
    SNAP_TRY(read_exact(*file_, kVersion3HeaderBytes, type, "the image ends inside its qcow2 header"));
    geometry_.zstd_clusters = header_bytes > kVersion3HeaderBytes && type[0] != std::byte{0};
  }
  return {};
}

Result<std::vector<Qcow2Entry>> Qcow2Image::snapshots() const {
  std::vector<Qcow2Entry> entries;
  std::uint64_t offset = snapshots_offset_;
  if (snapshot_count_ != 0 &&
      (offset > geometry_.file_bytes || (geometry_.file_bytes - offset) / kEntryBytes < snapshot_count_)) {
    return truncated(offset, "the qcow2 snapshot table lies past the end of the image");
  }
  for (std::uint32_t index = 0; index < snapshot_count_; ++index) {
    offset = ceil_div(offset, 8) * 8;
    if (offset - snapshots_offset_ > kQcow2MaxSnapshotTable)
      return fail(Code::kLimit, "the qcow2 snapshot table is too large", offset);
    SNAP_TRY_ASSIGN(entry, snapshot_at(offset, offset));
    entries.push_back(std::move(entry));
  }
  return entries;
}

/// `end` becomes the offset behind the entry.
Result<Qcow2Entry> Qcow2Image::snapshot_at(std::uint64_t offset, std::uint64_t& end) const {
  constexpr const char* kPastEnd = "the qcow2 snapshot table lies past the end of the image";
  std::byte fixed[kEntryBytes];
  SNAP_TRY(read_exact(*file_, offset, fixed, kPastEnd));
  const std::uint32_t extra_bytes = load_be32(fixed + 36);
  const std::size_t id_bytes = load_be16(fixed + 12);
  const std::size_t name_bytes = load_be16(fixed + 14);
  if (extra_bytes > kQcow2MaxSnapshotExtra)
    return fail(Code::kLimit, "too much extra data in a qcow2 snapshot", offset + 36, extra_bytes);
  Bytes rest(extra_bytes + id_bytes + name_bytes);
  SNAP_TRY(read_exact(*file_, offset + kEntryBytes, rest, kPastEnd));

  Qcow2Entry entry;
  entry.table_offset = offset;
  entry.l1_offset = load_be64(fixed);
  entry.l1_entries = load_be32(fixed + 8);
  entry.info.date_sec = load_be32(fixed + 16);
  entry.info.date_nsec = load_be32(fixed + 20);
  entry.info.vm_clock_nsec = load_be64(fixed + 24);
  entry.info.vm_state_bytes = load_be32(fixed + 32);
  entry.info.disk_bytes = disk_bytes_;
  // By the extra data's length, not by the image's version: a newer tool may have rewritten a version 2 table.
  if (extra_bytes >= 8) {
    entry.info.vm_state_bytes = load_be64(rest.data());
    entry.size_is_64_bit = true;
  }
  if (extra_bytes >= 16) entry.info.disk_bytes = load_be64(rest.data() + 8);
  entry.info.id = text_of(std::span(rest).subspan(extra_bytes, id_bytes));
  entry.info.name = text_of(std::span(rest).subspan(extra_bytes + id_bytes, name_bytes));
  end = offset + kEntryBytes + rest.size();
  return entry;
}

Result<std::unique_ptr<Qcow2State>> Qcow2Image::vm_state(const Qcow2Entry& entry) const {
  if (entry.l1_entries > kQcow2MaxL1Entries) {
    return fail(Code::kLimit, "the L1 table of a qcow2 snapshot is too large", entry.table_offset + 8, entry.l1_entries);
  }
  const std::uint64_t l1_bytes = std::uint64_t{entry.l1_entries} * 8;
  if (entry.l1_offset > geometry_.file_bytes || geometry_.file_bytes - entry.l1_offset < l1_bytes) {
    return truncated(entry.l1_offset, "the L1 table of a qcow2 snapshot lies past the end of the image");
  }
  // The VM state begins at the first address behind the disk that has an L1 entry of its own.
  const std::uint64_t first = ceil_div(entry.info.disk_bytes, geometry_.l1_span());
  std::vector<std::uint64_t> l1;
  if (first < entry.l1_entries) {
    Bytes table(static_cast<std::size_t>(l1_bytes - first * 8));
    SNAP_TRY(read_exact(*file_, entry.l1_offset + first * 8, table,
                        "the L1 table of a qcow2 snapshot lies past the end of the image"));
    for (std::size_t at = 0; at < table.size(); at += 8) l1.push_back(load_be64(table.data() + at));
  }
  return std::make_unique<Qcow2State>(*file_, geometry_, std::move(l1), entry.info.vm_state_bytes);
}

Result<Qcow2Entry> choose_qcow2_snapshot(const std::vector<Qcow2Entry>& entries, std::string_view name) {
  if (!name.empty()) {
    const auto by_id =
        std::find_if(entries.begin(), entries.end(), [&](const Qcow2Entry& entry) { return entry.info.id == name; });
    if (by_id != entries.end()) return *by_id;
    const auto by_name =
        std::find_if(entries.begin(), entries.end(), [&](const Qcow2Entry& entry) { return entry.info.name == name; });
    if (by_name != entries.end()) return *by_name;
    return fail(Code::kNotFound, "the image has no snapshot of that ID or name");
  }
  if (entries.empty()) return fail(Code::kNotFound, "the image has no internal snapshots");
  const Qcow2Entry* only = nullptr;
  for (const Qcow2Entry& entry : entries) {
    if (entry.info.vm_state_bytes == 0) continue;
    if (only != nullptr) return invalid("the image has several snapshots; one must be named");
    only = &entry;
  }
  if (only == nullptr) return fail(Code::kNotFound, "the image has snapshots of the disk only, without VM state");
  return *only;
}

Result<std::vector<Qcow2Snapshot>> list_qcow2_snapshots(RandomSource& file) {
  SNAP_TRY_ASSIGN(image, Qcow2Image::open(file));
  SNAP_TRY_ASSIGN(entries, image.snapshots());
  std::vector<Qcow2Snapshot> snapshots;
  for (Qcow2Entry& entry : entries) snapshots.push_back(std::move(entry.info));
  return snapshots;
}

}  // namespace snap
