// SPDX-License-Identifier: Apache-2.0
// An `xl save` file: xl's header and the domain's configuration, libxl's records, and among them libxc's stream with the memory.
#include <algorithm>
#include <array>

#include "base/fail.h"
#include "vmm/forward.h"
#include "vmm/little_endian.h"
#include "vmm/metadata.h"
#include "vmm/ram_intake.h"
#include "vmm/stream_digest.h"
#include "vmm/xen.h"
#include "vmm/xen_recipe.h"
#include "vmm/xen_superseded.h"

namespace snap {
namespace {

constexpr const char* kEnds = "the Xen save file ends early";
constexpr const char* kTooMuch = "more than 64 MiB beside the memory in a Xen save file";
constexpr std::size_t kPagesAtOnce = 16;

constexpr std::string_view kXlMagic("Xen saved domain, xl format\n \0 \r", 32);
constexpr std::size_t kXlHeaderBytes = 48;
constexpr std::uint32_t kXlByteOrder = 0x01020304;
constexpr std::uint32_t kXlHasConfig = 1;
constexpr std::uint32_t kXlStreamV2 = 2;
constexpr std::size_t kMostNamedConfig = 64 * 1024;  // of which the domain's name is looked for

constexpr std::string_view kLibxlMagic = "LibxlFmt";
constexpr std::size_t kLibxlHeaderBytes = 16;
enum LibxlRecord : std::uint32_t { kLibxlEnd = 0, kLibxlContext = 1, kLibxlCheckpointEnd = 4, kLibxlLast = 5 };
constexpr std::uint32_t kBigEndian = 1;
constexpr std::uint32_t kFromLegacy = 2;

constexpr std::string_view kLibxcMagic("\xff\xff\xff\xff\xff\xff\xff\xffXENF", 12);
constexpr std::size_t kLibxcHeaderBytes = 24;
constexpr std::size_t kDomainHeaderBytes = 16;
constexpr std::uint32_t kPv = 1;
constexpr std::uint32_t kHvm = 2;
enum LibxcRecord : std::uint32_t { kEnd = 0, kCheckpoint = 14, kLast = 18 };
constexpr std::uint32_t kOptional = std::uint32_t{1} << 31;
constexpr std::uint32_t kMostRecordBytes = 128u << 20;  // as Xen itself

/// The value of a key of the part "c_info" of the configuration where it is plain text.
std::string_view config_value(std::string_view config, std::string_view key) {
  const std::size_t part = config.find("\"c_info\"");
  const std::size_t found = part == config.npos ? part : config.find(key, part);
  if (found == config.npos) return {};
  std::string_view rest = config.substr(found + key.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n:"), rest.size()));
  if (!rest.starts_with('"')) return {};
  rest.remove_prefix(1);
  const std::size_t end = rest.find_first_of("\"\\");
  return end != rest.npos && rest[end] == '"' ? rest.substr(0, end) : std::string_view();
}

class XenImport {
 public:
  XenImport(DigestingSource& source, Writer& writer, const ImportOptions& options)
      : source_(source), stream_(source, options), writer_(writer), intake_(writer, options.spool_dir_fd),
        log_(std::make_unique<LateLog>(options.spool_dir_fd)) {}

  Result<Imported> run() {
    SNAP_TRY(writer_.set_metadata("source.format", format_name(Format::kXen)));
    SNAP_TRY(xl_header());
    SNAP_TRY(libxl_header());
    SNAP_TRY(libxl_records());
    SNAP_TRY(trailer());
    return finish();
  }

 private:
  // ---- Bytes that are kept as they are ----

  Result<const std::byte*> keep(std::size_t count) {
    SNAP_TRY_ASSIGN(bytes, stream_.take(count, kEnds));
    recipe_.literal({bytes, count});
    SNAP_TRY(check_limit());
    return bytes;
  }
  Result<void> keep_long(std::uint64_t count) {
    while (count != 0) {
      const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(count, ForwardStream::kBufferBytes));
      SNAP_TRY(keep(now));
      count -= now;
    }
    return {};
  }
  Result<void> check_limit() const {
    if (recipe_.bytes() <= kMaxXenRecipeBytes) return {};
    return fail(Code::kLimit, kTooMuch, stream_.offset());
  }

  struct Record {
    std::uint64_t at = 0;
    std::uint32_t type = 0;
    std::uint32_t bytes = 0;  ///< without the padding to 8
  };
  Result<Record> look_at_record() {
    Record record;
    record.at = stream_.offset();
    SNAP_TRY_ASSIGN(head, stream_.look(kXenRecordHeadBytes, kEnds));
    record.type = load_le32(head);
    record.bytes = load_le32(head + 4);
    if (record.bytes > kMostRecordBytes) return fail(Code::kLimit, "a record larger than Xen itself takes", record.at, record.bytes);
    return record;
  }
  Result<void> keep_record(const Record& record) { return keep_long(kXenRecordHeadBytes + (std::uint64_t{record.bytes} + 7) / 8 * 8); }

  // ---- xl ----

  Result<void> xl_header() {
    SNAP_TRY_ASSIGN(head, keep(kXlHeaderBytes));
    if (text_of({head, kXlMagic.size()}) != kXlMagic) return corrupt(0, "not a save file of xl");
    const std::uint32_t order = load_le32(head + 32);
    const std::uint32_t mandatory = load_le32(head + 36);
    const std::uint32_t config_bytes = load_le32(head + 44);
    if (order != kXlByteOrder) return unsupported(32, "a Xen save file of a big-endian host", order);
    if ((mandatory & kXlStreamV2) == 0) return unsupported(36, "a save file of Xen 4.5 or older", mandatory);
    if ((mandatory & ~(kXlHasConfig | kXlStreamV2)) != 0) return unsupported(36, "an unknown feature of a Xen save file", mandatory);
    const std::size_t named = std::min<std::size_t>(config_bytes, kMostNamedConfig);
    SNAP_TRY_ASSIGN(config, keep(named));
    config_ = text_of({config, named});
    return keep_long(config_bytes - named);
  }

  // ---- libxl ----

  Result<void> libxl_header() {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(head, keep(kLibxlHeaderBytes));
    if (text_of({head, kLibxlMagic.size()}) != kLibxlMagic) return corrupt(at, "no libxl stream behind the configuration");
    const std::uint32_t version = load_be32(head + 8);
    const std::uint32_t flags = load_be32(head + 12);
    if (version != 2) return unsupported(at, "a libxl stream of this version", version);
    if ((flags & kBigEndian) != 0) return unsupported(at, "a big-endian libxl stream");
    if ((flags & ~kFromLegacy) != 0) return unsupported(at, "an unknown feature of a libxl stream", flags);
    return {};
  }

  Result<void> libxl_records() {
    while (true) {
      SNAP_TRY_ASSIGN(record, look_at_record());
      if (record.type > kLibxlLast && (record.type & kOptional) == 0) {
        return unsupported(record.at, "a libxl record of a kind not known", record.type);
      }
      SNAP_TRY(keep_record(record));
      switch (record.type) {
        case kLibxlEnd:
          if (where_ == Where::kBefore) return fail(Code::kNotFound, "the Xen save file has no memory", record.at);
          if (where_ == Where::kInside) return corrupt(record.at, "the libxl stream ends inside the libxc stream");
          return {};
        case kLibxlContext:
          SNAP_TRY(context(record));
          break;
        case kLibxlCheckpointEnd:
          if (where_ == Where::kInside) SNAP_TRY(libxc_records());
          break;
        default:
          break;
      }
    }
  }

  Result<void> context(const Record& record) {
    if (record.bytes != 0) return corrupt(record.at, "a libxc context with a body", record.bytes);
    if (where_ != Where::kBefore) return corrupt(record.at, "two libxc streams in one Xen save file");
    SNAP_TRY(libxc_header());
    return libxc_records();
  }

  // ---- libxc ----

  Result<void> libxc_header() {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(head, keep(kLibxcHeaderBytes));
    if (text_of({head, kLibxcMagic.size()}) != kLibxcMagic) return corrupt(at, "no libxc stream of Xen 4.6 or newer");
    const std::uint32_t version = load_be32(head + 12);
    const std::uint16_t flags = load_be16(head + 16);
    if (version != 2 && version != 3) return unsupported(at, "a libxc stream of this version", version);
    if ((flags & kBigEndian) != 0) return unsupported(at, "a big-endian libxc stream");
    if (flags != 0) return unsupported(at, "an unknown feature of a libxc stream", flags);
    SNAP_TRY(writer_.set_metadata("xen.stream.version", std::to_string(version)));
    return domain_header();
  }

  Result<void> domain_header() {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(head, keep(kDomainHeaderBytes));
    const std::uint32_t type = load_le32(head);
    const std::uint16_t page_shift = load_le16(head + 4);
    const std::uint32_t major = load_le32(head + 8);
    const std::uint32_t minor = load_le32(head + 12);
    if (type != kPv && type != kHvm) return unsupported(at, "a Xen domain of this type", type);
    if (page_shift != 12) return unsupported(at, "a Xen domain whose pages are not of 4 KiB", page_shift);
    // A stream converted from an older one says 0.0.
    SNAP_TRY(writer_.set_metadata("xen.version", std::to_string(major) + "." + std::to_string(minor)));
    const bool pvh = type == kHvm && config_value(config_, "\"type\"") == "pvh";
    SNAP_TRY(writer_.set_metadata("xen.guest", type == kPv ? "pv" : pvh ? "pvh" : "hvm"));
    const std::string_view name = config_value(config_, "\"name\"");
    if (!name.empty()) SNAP_TRY(writer_.set_metadata("xen.domain", metadata_text(name)));
    RegionInfo ram;
    ram.name = kXenRamName;
    return intake_.add_block(std::move(ram));
  }

  Result<void> libxc_records() {
    where_ = Where::kInside;
    while (true) {
      SNAP_TRY_ASSIGN(record, look_at_record());
      if (record.type == kXenPageData) {
        SNAP_TRY(page_data(record));
        continue;
      }
      // What is not known may be memory of a new kind.
      if (record.type > kLast && (record.type & kOptional) == 0) {
        return unsupported(record.at, "a libxc record of a kind not known", record.type);
      }
      SNAP_TRY(keep_record(record));
      if (record.type == kEnd) where_ = Where::kBehind;
      if (record.type == kEnd || record.type == kCheckpoint) return {};
    }
  }

  // ---- Memory ----

  Result<void> page_data(const Record& record) {
    constexpr std::uint32_t kHeads = kXenRecordHeadBytes + kXenPageDataHeadBytes;
    if (record.bytes <= kXenPageDataHeadBytes) return corrupt(record.at, "a PAGE_DATA record without pages", record.bytes);
    SNAP_TRY_ASSIGN(head, stream_.take(kHeads, kEnds));
    const std::uint32_t count = load_le32(head + 8);
    const std::uint32_t reserved = load_le32(head + 12);
    const std::uint32_t room = record.bytes - kXenPageDataHeadBytes;
    if (reserved != 0) return corrupt(record.at, "reserved bits in a PAGE_DATA record", reserved);
    if (count == 0) return corrupt(record.at, "a PAGE_DATA record without pages");
    if (count > room / kXenFrameBytes) return corrupt(record.at, "a PAGE_DATA record smaller than its list", count);
    if (count > kMostXenFrames) return fail(Code::kLimit, "more than 65536 frames in a PAGE_DATA record", record.at, count);
    const std::uint64_t list_at = stream_.offset();
    list_.resize(std::size_t{count} * kXenFrameBytes);
    SNAP_TRY(stream_.take_into(list_, kEnds));
    SNAP_TRY_ASSIGN(bodies, parse_list(list_at));
    if (room != list_.size() + bodies * kPageBytes) return corrupt(record.at, "a PAGE_DATA record that its pages do not fill", record.bytes);
    recipe_.pages(runs_);
    SNAP_TRY(check_limit());
    for (const XenRun& run : runs_) {
      if (has_xen_body(run.type)) SNAP_TRY(take_bodies(run));
    }
    return {};
  }

  /// The list becomes runs; answers how many frames have a body.
  Result<std::uint64_t> parse_list(std::uint64_t list_at) {
    runs_.clear();
    std::uint64_t bodies = 0;
    for (std::size_t at = 0; at < list_.size(); at += kXenFrameBytes) {
      const std::uint64_t entry = load_le64(list_.data() + at);
      const auto type = static_cast<unsigned>(entry >> kXenTypeShift);
      const std::uint64_t frame = entry & ((std::uint64_t{1} << kXenTypeShift) - 1);
      if (!is_xen_type(type)) return corrupt(list_at + at, "a guest frame of an illegal type", type);
      if (frame > kXenFrameMask) return corrupt(list_at + at, "reserved bits in the number of a guest frame", frame);
      if (frame >= kMaxXenFrames) return fail(Code::kLimit, "a guest frame behind 8 TiB", list_at + at, frame);
      bodies += has_xen_body(type);
      XenRun* last = runs_.empty() ? nullptr : &runs_.back();
      if (last != nullptr && last->type == type && last->first + last->count == frame) {
        ++last->count;
      } else {
        runs_.push_back({type, false, frame, 1});
      }
    }
    return bodies;
  }

  Result<void> take_bodies(const XenRun& run) {
    for (std::uint64_t done = 0; done < run.count;) {
      const std::uint64_t count = std::min<std::uint64_t>(run.count - done, kPagesAtOnce);
      SNAP_TRY_ASSIGN(bytes, stream_.take(static_cast<std::size_t>(count * kPageBytes), kEnds));
      for (std::uint64_t i = 0; i < count; ++i) SNAP_TRY(take_page(run.first + done + i, {bytes + i * kPageBytes, kPageBytes}));
      done += count;
    }
    return {};
  }

  Result<void> take_page(std::uint64_t frame, std::span<const std::byte> page) {
    if (intake_.is_late(0, frame)) {
      repeats_ |= intake_.seen(0, frame);
      SNAP_TRY(log_->append(page));
    }
    return intake_.page(0, frame, page);
  }

  // ---- The end ----

  /// A recorded migration has xl's farewell behind the stream.
  Result<void> trailer() {
    Bytes rest;
    SNAP_TRY(stream_.take_rest(rest, kMaxXenRecipeBytes - recipe_.bytes(), kTooMuch));
    recipe_.literal(rest);
    return {};
  }

  Result<Imported> finish() {
    SNAP_TRY(intake_.finish());
    Bytes recipe = recipe_.finish(stream_.offset());
    std::uint64_t superseded = 0;
    if (repeats_) {
      SNAP_TRY_ASSIGN(marked, mark_superseded(recipe));
      superseded = marked;
    }
    SNAP_TRY(write_state(writer_, kXenRecipeState, recipe));
    SNAP_TRY(writer_.set_metadata("xen.save.bytes", std::to_string(source_.digest().bytes())));
    SNAP_TRY(writer_.set_metadata(kXenDigestKey, to_hex(source_.digest().digest())));
    auto late = intake_.take_late();
    if (!late) return Imported();
    SNAP_TRY(log_->flush());
    return Imported(std::make_unique<XenCorrections>(std::move(late), std::move(log_), std::move(recipe), superseded));
  }

  enum class Where { kBefore, kInside, kBehind };  // of libxc's stream

  DigestingSource& source_;
  ForwardStream stream_;
  Writer& writer_;
  RamIntake intake_;
  std::unique_ptr<LateLog> log_;
  XenRecipeWriter recipe_;
  std::string config_;
  Where where_ = Where::kBefore;
  bool repeats_ = false;
  Bytes list_;
  std::vector<XenRun> runs_;
};

}  // namespace

Result<Imported> import_xen(ByteSource& stream, Writer& writer, const ImportOptions& options) {
  DigestingSource source(stream);
  return XenImport(source, writer, options).run();
}

}  // namespace snap
