// SPDX-License-Identifier: Apache-2.0
// A migration stream made anew: the head, one RAM section with each page once and in order, and the devices as they came.
#include <algorithm>

#include "base/fail.h"
#include "snap/restore.h"
#include "vmm/big_endian.h"
#include "vmm/qemu_frame.h"

namespace snap {
namespace {

/// Pieces of a RAM block become its records. Only the first of a block has its name, so that none needs to know what another is.
class PageRecords {
 public:
  /// `named_at`: the offset of the page that comes first.
  PageRecords(std::string_view block, std::uint64_t named_at) : block_(block), named_at_(named_at) {}

  Result<void> operator()(const RegionPiece& piece, Bytes& out) const {
    if (piece.length % kPageBytes != 0) return invalid("a RAM block that is no whole pages", piece.offset);
    for (std::uint64_t at = 0; at < piece.length; at += kPageBytes) {
      const auto page = piece.bytes.subspan(piece.bytes.empty() ? 0 : static_cast<std::size_t>(at), piece.bytes.empty() ? 0 : kPageBytes);
      record(piece.offset + at, page, out);
    }
    return {};
  }

 private:
  /// `page` is empty where it is zero.
  void record(std::uint64_t offset, std::span<const std::byte> page, Bytes& out) const {
    const bool zero = page.empty() || is_zero(page);
    const bool named = offset == named_at_;
    std::uint64_t word = offset | (zero ? std::uint64_t{kRamZero} : std::uint64_t{kRamPage});
    if (!named) word |= kRamContinue;
    append_be(out, word);
    if (named) append_short_text(out, block_);
    if (zero) {
      append_be(out, std::uint8_t{0});
    } else {
      append(out, page);
    }
  }

  std::string_view block_;
  std::uint64_t named_at_;
};

class QemuExport {
 public:
  QemuExport(Reader& reader, ByteSink& sink, const ExportOptions& options, const std::optional<CloneOptions>& clone)
      : reader_(reader), sink_(sink), options_(options), clone_(clone) {}

  Result<void> run() {
    SNAP_TRY_ASSIGN(frame, qemu_frame(reader_));
    Bytes out = std::move(frame.head.without_lists);
    append_ram_start(out, frame);
    for (const RegionInfo& info : reader_.regions()) {
      if (info.kind != RegionKind::kMemory) continue;
      append_short_text(out, info.name);
      append_be(out, info.size);
    }
    append_ram_end(out, frame);
    append_section(out, kQemuEnd, frame.ram_id);
    SNAP_TRY(sink_.write(out));
    for (std::size_t region = 0; region < reader_.regions().size(); ++region) {
      if (reader_.regions()[region].kind == RegionKind::kMemory) SNAP_TRY(pages(region));
    }
    out.clear();
    append_ram_end(out, frame);
    SNAP_TRY(sink_.write(out));
    return devices();
  }

 private:
  Result<void> pages(std::size_t region) {
    if (clone_ && clone_->region == region) return changed_pages(region);
    const RestoreOptions how{.threads = options_.threads, .progress = options_.progress, .cancel = options_.cancel};
    return restore_encoded(reader_, region, PageRecords(reader_.regions()[region].name, 0), sink_, how);
  }

  Result<void> changed_pages(std::size_t region);

  Result<void> devices() {
    const auto region = reader_.find(RegionKind::kState, kQemuDevicesState);
    return restore_to_sink(reader_, *region, sink_, {.threads = 0, .cancel = options_.cancel});
  }

  Reader& reader_;
  ByteSink& sink_;
  const ExportOptions& options_;
  const std::optional<CloneOptions>& clone_;
};

Result<void> QemuExport::changed_pages(std::size_t region) {
  std::vector<ChangedRange> ranges;
  const auto note = [&](const ChangedRange& range) -> Result<void> {
    ranges.push_back(range);
    return {};
  };
  SNAP_TRY(visit_changes_since(reader_, region, *clone_->base, note));
  if (ranges.empty()) return {};
  const RestoreOptions how{.threads = options_.threads, .progress = options_.progress, .cancel = options_.cancel};
  return restore_encoded(reader_, region, ranges, PageRecords(reader_.regions()[region].name, ranges.front().offset), sink_, how);
}

}  // namespace

Result<void> export_qemu(Reader& reader, ByteSink& sink, const ExportOptions& options, const std::optional<CloneOptions>& clone) {
  if (clone && (clone->base == nullptr || clone->region >= reader.regions().size() ||
                reader.regions()[clone->region].kind != RegionKind::kMemory)) {
    return invalid("a clone of no memory region, or without its base");
  }
  return QemuExport(reader, sink, options, clone).run();
}

}  // namespace snap
