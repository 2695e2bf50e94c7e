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

constexpr std::size_t kBatchBytes = 256 * 1024;
constexpr std::uint64_t kMaxHeadBytes = 1u << 20;

/// Collects what goes out into pieces worth a system call.
class Batch {
 public:
  explicit Batch(ByteSink& sink) : sink_(sink) { bytes_.reserve(kBatchBytes + 2 * kPageBytes); }

  template <typename Host>
  void be(Host value) {
    append_be(bytes_, value);
  }
  void text(std::string_view text) { append(bytes_, bytes_of(text)); }
  void short_text(std::string_view name) {
    be(static_cast<std::uint8_t>(name.size()));
    text(name);
  }
  void bytes(std::span<const std::byte> bytes) { append(bytes_, bytes); }
  Result<void> pass() { return bytes_.size() < kBatchBytes ? Result<void>() : flush(); }
  Result<void> flush() {
    SNAP_TRY(sink_.write(bytes_));
    bytes_.clear();
    return {};
  }

 private:
  ByteSink& sink_;
  Bytes bytes_;
};

/// A block's bytes in order become its records.
class PageRecords final : public ByteSink {
 public:
  PageRecords(Batch& batch, std::string_view block) : batch_(batch), block_(block) {}

  void seek(std::uint64_t offset) { offset_ = offset; }

  Result<void> write(std::span<const std::byte> bytes) override {
    for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(kPageBytes, bytes.size()))) {
      SNAP_TRY(page(bytes.first(std::min<std::size_t>(kPageBytes, bytes.size()))));
    }
    return {};
  }

 private:
  Result<void> page(std::span<const std::byte> bytes) {
    if (bytes.size() != kPageBytes) return invalid("a RAM block that is no whole pages", offset_);
    const bool zero = is_zero(bytes);
    std::uint64_t word = offset_ | (zero ? std::uint64_t{kRamZero} : std::uint64_t{kRamPage});
    if (named_) word |= kRamContinue;
    batch_.be(word);
    if (!std::exchange(named_, true)) batch_.short_text(block_);
    if (zero) {
      batch_.be(std::uint8_t{0});
    } else {
      batch_.bytes(bytes);
    }
    offset_ += kPageBytes;
    return batch_.pass();
  }

  Batch& batch_;
  std::string_view block_;
  std::uint64_t offset_ = 0;
  bool named_ = false;
};

std::optional<std::uint32_t> section_id(const Reader& reader) {
  const auto found = reader.metadata().find(std::string(kQemuRamSectionKey));
  if (found == reader.metadata().end()) return std::nullopt;
  std::uint32_t id = 0;
  const char* const end = found->second.data() + found->second.size();
  const auto parsed = std::from_chars(found->second.data(), end, id);
  return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(id) : std::nullopt;
}

class QemuExport {
 public:
  QemuExport(Reader& reader, ByteSink& sink, const ExportOptions& options, const std::optional<CloneOptions>& clone)
      : reader_(reader), sink_(sink), batch_(sink), options_(options), clone_(clone) {}

  Result<void> run() {
    const auto id = section_id(reader_);
    if (!id || !reader_.find(RegionKind::kState, kQemuHeadState) || !reader_.find(RegionKind::kState, kQemuDevicesState)) {
      return fail(Code::kNotFound, "the snapshot was not made of a migration stream of QEMU: it has no state of devices");
    }
    SNAP_TRY_ASSIGN(head_bytes, read_state(reader_, kQemuHeadState, kMaxHeadBytes));
    SNAP_TRY_ASSIGN(head, parse_qemu_head(head_bytes));
    footers_ = head.has_configuration;
    id_ = *id;
    batch_.bytes(head.without_lists);
    SNAP_TRY(block_list());
    begin_section(kQemuEnd);
    for (std::size_t region = 0; region < reader_.regions().size(); ++region) {
      if (reader_.regions()[region].kind == RegionKind::kMemory) SNAP_TRY(pages(region));
    }
    end_section();
    SNAP_TRY(batch_.flush());
    return devices();
  }

 private:
  void begin_section(std::uint8_t type) {
    batch_.be(type);
    batch_.be(id_);
  }
  void end_section() {
    batch_.be(std::uint64_t{kRamEos});
    if (!footers_) return;
    batch_.be(std::uint8_t{kQemuFooter});
    batch_.be(id_);
  }

  Result<void> block_list() {
    std::uint64_t total = 0;
    for (const RegionInfo& info : reader_.regions()) {
      if (info.kind != RegionKind::kMemory) continue;
      if (info.name.size() > 255 || info.size % kPageBytes != 0) return invalid("a memory region that can be no RAM block of QEMU");
      total += info.size;
    }
    begin_section(kQemuStart);
    batch_.short_text(kQemuRamId);
    batch_.be(std::uint32_t{0});
    batch_.be(kQemuRamVersion);
    batch_.be(total | kRamMemSize);
    for (const RegionInfo& info : reader_.regions()) {
      if (info.kind != RegionKind::kMemory) continue;
      batch_.short_text(info.name);
      batch_.be(info.size);
    }
    end_section();
    return {};
  }

  Result<void> pages(std::size_t region) {
    PageRecords records(batch_, reader_.regions()[region].name);
    if (clone_ && clone_->region == region) return changed_pages(region, records);
    const RestoreOptions how{.threads = options_.threads, .progress = options_.progress, .cancel = options_.cancel};
    return restore_to_sink(reader_, region, records, how);
  }

  Result<void> changed_pages(std::size_t region, PageRecords& records);

  Result<void> devices() {
    const auto region = reader_.find(RegionKind::kState, kQemuDevicesState);
    return restore_to_sink(reader_, *region, sink_, {.threads = 0, .cancel = options_.cancel});
  }

  Reader& reader_;
  ByteSink& sink_;
  Batch batch_;
  const ExportOptions& options_;
  const std::optional<CloneOptions>& clone_;
  bool footers_ = true;
  std::uint32_t id_ = 0;
};

Result<void> QemuExport::changed_pages(std::size_t region, PageRecords& records) {
  Bytes piece;
  const auto send = [&](const ChangedRange& range) -> Result<void> {
    for (std::uint64_t done = 0; done < range.length; done += piece.size()) {
      if (options_.cancel != nullptr && *options_.cancel) return fail(Code::kCancelled, "cancelled");
      piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBatchBytes, range.length - done)));
      SNAP_TRY(reader_.read(region, range.offset + done, piece));
      records.seek(range.offset + done);
      SNAP_TRY(records.write(piece));
    }
    if (options_.progress != nullptr) *options_.progress += range.length;
    return {};
  };
  return visit_changes_since(reader_, region, *clone_->base, send);
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
