// SPDX-License-Identifier: Apache-2.0
// A migration stream made anew: the head, one RAM section with each page once and in order, and the devices as they came.
#include <algorithm>
#include <array>
#include <charconv>

#include "base/fail.h"
#include "snap/restore.h"
#include "vmm/qemu_stream.h"

namespace snap {
namespace {

constexpr std::uint64_t kMaxHeadBytes = 1u << 20;

template <typename Host>
void put(Bytes& out, Host value) {
  append_be(out, value);
}
void put_short_text(Bytes& out, std::string_view text) {
  out.push_back(static_cast<std::byte>(text.size()));
  append(out, bytes_of(text));
}

/// Pieces of a RAM block become its records. Only the first of a block has its name, so that none needs to know what another is.
class PageRecords {
 public:
  /// `named_at`: the offset of the page that comes first.
  PageRecords(std::string_view block, std::uint64_t named_at) : block_(block), named_at_(named_at) {}

  Result<void> operator()(const RegionPiece& piece, Bytes& out) const {
    if (piece.length % kPageBytes != 0) return invalid("a RAM block that is no whole pages", piece.offset);
    out.reserve(out.size() + piece.bytes.size() + piece.length / kPageBytes * kHeadBytes + block_.size() + 1);
    for (std::uint64_t at = 0; at < piece.length; at += kPageBytes) {
      const auto page = piece.bytes.subspan(piece.bytes.empty() ? 0 : static_cast<std::size_t>(at), piece.bytes.empty() ? 0 : kPageBytes);
      record(piece.offset + at, page, out);
    }
    return {};
  }

 private:
  static constexpr std::size_t kHeadBytes = 9;

  /// `page` is empty where it is zero.
  void record(std::uint64_t offset, std::span<const std::byte> page, Bytes& out) const {
    const bool zero = page.empty() || is_zero(page);
    const bool named = offset == named_at_;
    std::uint64_t word = offset | (zero ? std::uint64_t{kRamZero} : std::uint64_t{kRamPage});
    if (!named) word |= kRamContinue;
    put(out, word);
    if (named) put_short_text(out, block_);
    if (zero) {
      put(out, std::uint8_t{0});
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
    SNAP_TRY_ASSIGN(id, qemu_ram_section(reader_));
    SNAP_TRY_ASSIGN(head_bytes, read_state(reader_, kQemuHeadState, kMaxHeadBytes));
    SNAP_TRY_ASSIGN(head, parse_qemu_head(head_bytes));
    footers_ = head.has_configuration;
    id_ = id;
    Bytes out = std::move(head.without_lists);
    SNAP_TRY(block_list(out));
    begin_section(out, kQemuEnd);
    SNAP_TRY(sink_.write(out));
    for (std::size_t region = 0; region < reader_.regions().size(); ++region) {
      if (reader_.regions()[region].kind == RegionKind::kMemory) SNAP_TRY(pages(region));
    }
    out.clear();
    end_section(out);
    SNAP_TRY(sink_.write(out));
    return devices();
  }

 private:
  void begin_section(Bytes& out, std::uint8_t type) const {
    put(out, type);
    put(out, id_);
  }
  void end_section(Bytes& out) const {
    put(out, std::uint64_t{kRamEos});
    if (!footers_) return;
    put(out, std::uint8_t{kQemuFooter});
    put(out, id_);
  }

  Result<void> block_list(Bytes& out) const {
    std::uint64_t total = 0;
    for (const RegionInfo& info : reader_.regions()) {
      if (info.kind != RegionKind::kMemory) continue;
      if (info.name.size() > 255 || info.size % kPageBytes != 0) return invalid("a memory region that can be no RAM block of QEMU");
      total += info.size;
    }
    begin_section(out, kQemuStart);
    put_short_text(out, kQemuRamId);
    put(out, std::uint32_t{0});
    put(out, kQemuRamVersion);
    put(out, total | kRamMemSize);
    for (const RegionInfo& info : reader_.regions()) {
      if (info.kind != RegionKind::kMemory) continue;
      put_short_text(out, info.name);
      put(out, info.size);
    }
    end_section(out);
    return {};
  }

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
  bool footers_ = true;
  std::uint32_t id_ = 0;
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

Result<std::uint32_t> qemu_ram_section(const Reader& reader) {
  const auto found = reader.metadata().find(std::string(kQemuRamSectionKey));
  const bool whole = reader.find(RegionKind::kState, kQemuHeadState) && reader.find(RegionKind::kState, kQemuDevicesState);
  if (found != reader.metadata().end() && whole) {
    std::uint32_t id = 0;
    const char* const end = found->second.data() + found->second.size();
    const auto parsed = std::from_chars(found->second.data(), end, id);
    if (parsed.ec == std::errc() && parsed.ptr == end) return id;
  }
  return fail(Code::kNotFound, "the snapshot was not made of a migration stream of QEMU: it has no state of devices");
}

Result<void> export_qemu(Reader& reader, ByteSink& sink, const ExportOptions& options, const std::optional<CloneOptions>& clone) {
  if (clone && (clone->base == nullptr || clone->region >= reader.regions().size() ||
                reader.regions()[clone->region].kind != RegionKind::kMemory)) {
    return invalid("a clone of no memory region, or without its base");
  }
  return QemuExport(reader, sink, options, clone).run();
}

}  // namespace snap
