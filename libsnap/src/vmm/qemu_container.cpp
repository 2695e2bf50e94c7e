// SPDX-License-Identifier: Apache-2.0
#include "vmm/qemu_container.h"

#include <algorithm>

#include "base/fail.h"
#include "vmm/big_endian.h"

namespace snap {
namespace {

constexpr const char* kEndsEarly = "the VM state ends early";
constexpr std::string_view kCmosId = "mc146818rtc";
constexpr std::uint64_t kCmosSearchBytes = 4u << 20;
enum SectionType : std::uint8_t { kEof = 0, kStart = 1, kFull = 4, kConfiguration = 7 };

/// A record of containers 1 and 2.
struct Record {
  SectionHead head;
  std::uint64_t body = 0;
  std::uint64_t end = 0;
};

/// What the front of a RAM record says of its form.
Result<void> parse_ram_head(StreamCursor& cursor, StreamLayout& layout) {
  constexpr const char* kHeadEnds = "the RAM section ends early";
  const std::uint64_t version_at = cursor.offset();
  if (layout.ram_version < 1 || layout.ram_version > 3) {
    return unsupported(version_at, "RAM section version is not one of container 1 and 2", layout.ram_version);
  }
  layout.kvm_userspace = layout.ram_version == 3;
  layout.form = layout.ram_version == 1 ? RamForm::kPages : RamForm::kDeflate;
  if (layout.kvm_userspace) {
    SNAP_TRY_ASSIGN(live, cursor.take_byte(kHeadEnds));
    if (live > 1) return corrupt(version_at, "unknown form of a kvm-userspace RAM section", live);
    if (live == 1) layout.form = RamForm::kKvmLive;
  }
  if (layout.form != RamForm::kKvmLive) {
    SNAP_TRY_ASSIGN(size, cursor.take_be32(kHeadEnds));
    layout.size_field = size;
  }
  layout.ram_begin = cursor.offset();
  return {};
}

/// Records from `offset` to `end` must fit exactly; takes the CMOS on the way. False where they do not fit.
class RecordWalk {
 public:
  RecordWalk(StreamSource& stream, std::uint64_t offset, std::uint64_t end) : stream_(stream), cursor_(stream, offset, end) {}

  /// Nothing at the end.
  Result<std::optional<Record>> next(bool zero_ends) {
    if (cursor_.left() == 0) return std::optional<Record>();
    Record record;
    if (zero_ends) {
      std::byte id_length[1];
      SNAP_TRY(stream_.read_exact(cursor_.offset(), id_length, kEndsEarly));
      if (id_length[0] == std::byte{0}) return std::optional<Record>();
    }
    SNAP_TRY_ASSIGN(head, take_section_head(cursor_));
    SNAP_TRY_ASSIGN(length, cursor_.take_be32(kEndsEarly));
    record.head = head;
    record.body = cursor_.offset();
    record.end = record.body + length;
    if (head.id() == kCmosId && length >= sizeof(Cmos)) {
      Cmos cmos;
      SNAP_TRY(stream_.read_exact(record.body, cmos, kEndsEarly));
      cmos_ = cmos;
    }
    return std::optional(record);
  }
  Result<void> skip_body(const Record& record) {
    return cursor_.skip(record.end - cursor_.offset(), "a section runs past the end of the VM state");
  }
  StreamCursor& cursor() { return cursor_; }
  const std::optional<Cmos>& cmos() const { return cmos_; }

 private:
  StreamSource& stream_;
  StreamCursor cursor_;
  std::optional<Cmos> cmos_;
};

/// The records behind the RAM. An error where they do not fit the stream.
Result<std::optional<Cmos>> walk_rest(StreamSource& stream, std::uint64_t offset, std::uint64_t end, bool zero_ends) {
  RecordWalk walk(stream, offset, end);
  while (true) {
    SNAP_TRY_ASSIGN(record, walk.next(zero_ends));
    if (!record) return walk.cmos();
    if (record->head.id() == "ram") return unsupported(record->body, "the VM state has two RAM sections");
    SNAP_TRY(walk.skip_body(*record));
  }
}

/// Containers 1 and 2 from the first record on.
Result<void> parse_records(StreamSource& stream, std::uint64_t offset, std::uint64_t end, StreamLayout& layout) {
  const bool zero_ends = layout.container == 1;
  RecordWalk walk(stream, offset, end);
  while (true) {
    SNAP_TRY_ASSIGN(record, walk.next(zero_ends));
    if (!record) return fail(Code::kNotFound, "the VM state has no RAM section", offset);
    if (record->head.id() != "ram") {
      SNAP_TRY(walk.skip_body(*record));
      continue;
    }
    layout.ram_version = record->head.version;
    SNAP_TRY(parse_ram_head(walk.cursor(), layout));
    if (layout.ram_begin > record->end) return truncated(record->end, "the RAM section ends early");
    // The length is 32 bits of one that may be larger: the first one with which all other records fit is the real one.
    Error first_error;
    for (std::uint64_t ram_end = record->end; ram_end <= end; ram_end += std::uint64_t{1} << 32) {
      auto cmos = walk_rest(stream, ram_end, end, zero_ends);
      if (cmos) {
        layout.ram_end = ram_end;
        layout.cmos = walk.cmos() ? walk.cmos() : *cmos;
        return {};
      }
      if (first_error.code == Code::kOk) first_error = cmos.error();
      if (cmos.error().code != Code::kTruncated) break;
    }
    if (first_error.code == Code::kOk) return truncated(end, "the RAM section runs past the end of the VM state");
    return first_error;
  }
}

/// Container 3. The RAM is the first section but for a short time in 2008, when "timer" was.
Result<void> parse_sections(StreamSource& stream, StreamLayout& layout) {
  StreamCursor cursor(stream, 8, stream.size());
  while (true) {
    const std::uint64_t at = cursor.offset();
    SNAP_TRY_ASSIGN(type, cursor.take_byte(kEndsEarly));
    if (type == kEof) return fail(Code::kNotFound, "the VM state has no RAM section", at);
    if (type == kConfiguration) return unsupported(at, "VM state of a QEMU newer than 0.12 (configuration section)");
    if (type != kStart && type != kFull) return corrupt(at, "unknown section type in the VM state", type);
    SNAP_TRY_ASSIGN(section_id, cursor.take_be32(kEndsEarly));
    SNAP_TRY_ASSIGN(head, take_section_head(cursor));
    layout.ram_version = head.version;
    layout.section_id = section_id;
    layout.ram_end = stream.size();
    if (head.id() == "ram" && type == kStart && head.version == 3) {
      layout.form = RamForm::kLive;
      layout.ram_begin = cursor.offset();
      return {};
    }
    if (head.id() == "ram" && type == kFull && head.version == 2) return parse_ram_head(cursor, layout);
    if (head.id() == "ram" && head.version >= 4) return unsupported(at, "RAM section of QEMU 0.13 or newer", head.version);
    if (head.id() == "ram") return unsupported(at, "RAM section version is not one of container 3", head.version);
    if (head.id() == "timer" && type == kFull) {
      SNAP_TRY(cursor.skip(24, kEndsEarly));
    } else if (head.id() == "block" && type == kStart) {
      SNAP_TRY_ASSIGN(word, cursor.take_be64(kEndsEarly));
      if (word != 2) return unsupported(at, "VM state with block migration data");
    } else {
      return unsupported(at, "a section of unknown length comes before the RAM");
    }
  }
}

}  // namespace

Result<SectionHead> take_section_head(StreamCursor& cursor) {
  SectionHead head;
  SNAP_TRY_ASSIGN(id_length, cursor.take_byte(kEndsEarly));
  SNAP_TRY_ASSIGN(id, cursor.take(id_length, kEndsEarly));
  std::memcpy(head.id_bytes.data(), id, id_length);
  head.id_length = id_length;
  SNAP_TRY_ASSIGN(instance, cursor.take_be32(kEndsEarly));
  SNAP_TRY_ASSIGN(version, cursor.take_be32(kEndsEarly));
  head.instance = instance;
  head.version = version;
  return head;
}

Result<StreamLayout> parse_container(StreamSource& stream) {
  StreamLayout layout;
  StreamCursor cursor(stream, 0, stream.size());
  SNAP_TRY_ASSIGN(magic, cursor.take_be32(kEndsEarly));
  if (magic != kVmstateMagic) return corrupt(0, "not a VM state of QEMU");
  SNAP_TRY_ASSIGN(version, cursor.take_be32(kEndsEarly));
  layout.container = version;
  if (version == 1) {
    SNAP_TRY(parse_records(stream, cursor.offset(), stream.size(), layout));
  } else if (version == 2) {
    SNAP_TRY_ASSIGN(total, cursor.take_be64(kEndsEarly));
    if (total > cursor.left()) return truncated(stream.size(), kEndsEarly);
    SNAP_TRY(parse_records(stream, cursor.offset(), cursor.offset() + total, layout));
  } else if (version == 3) {
    SNAP_TRY(parse_sections(stream, layout));
  } else {
    return unsupported(4, "unknown version of the VM state container", version);
  }
  return layout;
}

Result<std::optional<Cmos>> find_cmos(StreamSource& stream, std::uint64_t from) {
  from = std::max(from, stream.size() - std::min(stream.size(), kCmosSearchBytes));
  Bytes tail(static_cast<std::size_t>(stream.size() - std::min(from, stream.size())));
  SNAP_TRY(stream.read_exact(from, tail, kEndsEarly));
  // FULL, be32 section id, idlen, id, be32 instance, be32 version, CMOS.
  const auto id = bytes_of(kCmosId);
  for (auto at = tail.begin(); (at = std::search(at, tail.end(), id.begin(), id.end())) != tail.end(); ++at) {
    const auto before = static_cast<std::size_t>(at - tail.begin());
    const std::size_t cmos_at = before + kCmosId.size() + 8;
    if (before < 6 || tail.size() < cmos_at + sizeof(Cmos)) continue;
    if (tail[before - 6] != std::byte{kFull} || tail[before - 1] != std::byte{kCmosId.size()}) continue;
    Cmos cmos;
    std::copy_n(tail.begin() + static_cast<std::ptrdiff_t>(cmos_at), cmos.size(), cmos.begin());
    return std::optional(cmos);
  }
  return std::optional<Cmos>();
}

}  // namespace snap
