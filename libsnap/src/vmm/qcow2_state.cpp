// SPDX-License-Identifier: Apache-2.0
#include "vmm/qcow2_state.h"

#include <isa-l.h>

#include <algorithm>

#include "base/fail.h"
#include "vmm/big_endian.h"

namespace snap {
namespace {

constexpr std::uint64_t kOffsetMask = 0x00fffffffffffe00;
constexpr std::uint64_t kCompressedFlag = std::uint64_t{1} << 62;
constexpr std::uint64_t kZeroFlag = 1;

}  // namespace

std::uint64_t Qcow2State::capacity() const {
  const std::uint64_t most = geometry_.file_bytes + geometry_.cluster_bytes();
  return ceil_div(most, geometry_.l1_span()) < l1_.size() ? most : std::min(most, l1_.size() << geometry_.l1_span_log2());
}

Result<std::size_t> Qcow2State::read_at(std::uint64_t offset, std::span<std::byte> out) {
  if (offset >= bytes_) return std::size_t{0};
  out = out.first(static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), bytes_ - offset)));
  const std::lock_guard lock(mutex_);
  std::size_t done = 0;
  while (done < out.size()) {
    SNAP_TRY_ASSIGN(count, read_run(offset + done, out.subspan(done)));
    done += count;
  }
  return done;
}

/// Reads the longest stretch from `offset` on that lies in one piece in the file.
Result<std::size_t> Qcow2State::read_run(std::uint64_t offset, std::span<std::byte> out) {
  const std::uint64_t cluster_bytes = geometry_.cluster_bytes();
  std::uint64_t cluster = offset >> geometry_.cluster_log2;
  const std::uint64_t skip = offset & (cluster_bytes - 1);
  SNAP_TRY_ASSIGN(first, map(cluster));
  std::uint64_t length = std::min<std::uint64_t>(out.size(), cluster_bytes - skip);
  if (first.kind == Mapping::kCompressed) {
    SNAP_TRY(inflate_cluster(first.offset));
    std::memcpy(out.data(), inflated_.data() + skip, length);
    return static_cast<std::size_t>(length);
  }
  while (length < out.size()) {
    SNAP_TRY_ASSIGN(next, map(++cluster));
    if (next.kind != first.kind) break;
    if (first.kind == Mapping::kData && next.offset != first.offset + skip + length) break;
    length = std::min<std::uint64_t>(out.size(), length + cluster_bytes);
  }
  const auto piece = out.first(static_cast<std::size_t>(length));
  if (first.kind == Mapping::kZero) {
    std::fill(piece.begin(), piece.end(), std::byte{0});
  } else {
    SNAP_TRY(read_data(first.offset + skip, piece));
  }
  return piece.size();
}

Result<Qcow2State::Mapping> Qcow2State::map(std::uint64_t cluster) {
  const std::uint64_t l1_index = cluster >> (geometry_.cluster_log2 - 3);
  if (l1_index >= l1_.size() || (l1_[l1_index] & kOffsetMask) == 0) return Mapping{};
  if (l1_index != l2_index_) SNAP_TRY(load_l2(l1_index));
  const std::uint64_t l2_slot = cluster & (geometry_.cluster_bytes() / 8 - 1);
  const std::uint64_t entry = load_be64(l2_.data() + l2_slot * 8);
  if (entry & kCompressedFlag) return Mapping{Mapping::kCompressed, entry};
  const std::uint64_t offset = entry & kOffsetMask;
  if (offset == 0 || (geometry_.version >= 3 && (entry & kZeroFlag))) return Mapping{};
  const std::uint64_t entry_at = (l1_[l1_index] & kOffsetMask) + l2_slot * 8;
  if (offset % geometry_.cluster_bytes() != 0) return corrupt(entry_at, "qcow2 L2 entry is not aligned to a cluster", entry);
  if (offset >= geometry_.file_bytes) return truncated(offset, "a cluster of the VM state lies past the end of the image");
  return Mapping{Mapping::kData, offset};
}

Result<void> Qcow2State::load_l2(std::uint64_t l1_index) {
  const std::uint64_t offset = l1_[l1_index] & kOffsetMask;
  const auto cluster_bytes = static_cast<std::size_t>(geometry_.cluster_bytes());
  if (offset % cluster_bytes != 0) return corrupt(offset, "qcow2 L1 entry is not aligned to a cluster", l1_[l1_index]);
  l2_index_ = ~std::uint64_t{0};
  l2_.resize(cluster_bytes);
  SNAP_TRY_ASSIGN(got, file_.read_at(offset, l2_));
  if (got != cluster_bytes) return truncated(offset, "a qcow2 L2 table lies past the end of the image");
  l2_index_ = l1_index;
  return {};
}

Result<void> Qcow2State::read_data(std::uint64_t file_offset, std::span<std::byte> out) {
  SNAP_TRY_ASSIGN(got, file_.read_at(file_offset, out));
  // 2008 images end anywhere inside their last cluster; their emulator took what is missing there for zeros.
  if (got != out.size() && out.size() - got >= geometry_.cluster_bytes()) {
    return truncated(file_offset + got, "the VM state lies past the end of the image");
  }
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(got), out.end(), std::byte{0});
  return {};
}

Result<void> Qcow2State::inflate_cluster(std::uint64_t entry) {
  if (entry == inflated_entry_) return {};
  const unsigned offset_bits = 62 - (geometry_.cluster_log2 - 8);
  const std::uint64_t offset = entry & ((std::uint64_t{1} << offset_bits) - 1);
  if (geometry_.zstd_clusters) return unsupported(offset, "qcow2 clusters compressed with zstd");
  const std::uint64_t sectors = ((entry & (kCompressedFlag - 1)) >> offset_bits) + 1;
  Bytes stored(static_cast<std::size_t>(sectors * 512 - (offset & 511)));
  SNAP_TRY_ASSIGN(got, file_.read_at(offset, stored));
  inflated_entry_ = 0;
  inflated_.resize(static_cast<std::size_t>(geometry_.cluster_bytes()));
  const auto state = std::make_unique<inflate_state>();
  isal_inflate_init(state.get());
  state->next_in = reinterpret_cast<std::uint8_t*>(stored.data());
  state->avail_in = static_cast<std::uint32_t>(got);
  state->next_out = reinterpret_cast<std::uint8_t*>(inflated_.data());
  state->avail_out = static_cast<std::uint32_t>(inflated_.size());
  // A missing end and bytes behind it are normal: what counts is that the cluster is full.
  const int status = isal_inflate(state.get());
  if (state->avail_out != 0 || status < 0) return corrupt(offset, "a compressed qcow2 cluster does not inflate");
  inflated_entry_ = entry;
  return {};
}

}  // namespace snap
