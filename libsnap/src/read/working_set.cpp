// SPDX-License-Identifier: Apache-2.0
#include "snap/working_set.h"

#include <algorithm>

#include "base/fail.h"
#include "image/working_set.h"
#include "read/snapshot_end.h"

namespace snap {

namespace {

constexpr std::size_t kCopyBytes = 1u << 20;
constexpr std::size_t kHeadBytes = sizeof(wire::RecordHead);

Result<void> copy_front(RandomSource& source, std::uint64_t end, ByteSink& sink) {
  Bytes buffer(static_cast<std::size_t>(std::min<std::uint64_t>(end, kCopyBytes)));
  for (std::uint64_t at = 0; at < end; at += buffer.size()) {
    buffer.resize(static_cast<std::size_t>(std::min<std::uint64_t>(end - at, kCopyBytes)));
    SNAP_TRY(read_exact(source, at, buffer, "the file became shorter"));
    SNAP_TRY(sink.write(buffer));
  }
  return {};
}

/// The records at a file's end, each naming the one before.
class EndMaker {
 public:
  EndMaker(std::uint64_t offset, std::uint64_t prior) : offset_(offset), prior_(prior) {}

  RecordRef add(wire::RecordType type, std::span<const std::byte> body) {
    Record record = record_around(type, 0, 0, 0, body);
    record.offset = offset();
    record.prior = prior_;
    std::byte head[kHeadBytes];
    encode_head(record, head);
    append(bytes_, head);
    append(bytes_, body);
    prior_ = record.head_check;
    return ref_to(record);
  }
  std::uint64_t offset() const { return offset_ + bytes_.size(); }
  Bytes& bytes() { return bytes_; }

 private:
  std::uint64_t offset_;
  std::uint64_t prior_;
  Bytes bytes_;
};

Result<Bytes> catalog_body(const Image& image) {
  const RecordRef& ref = image.trailer().catalog;
  Bytes bytes(ref.record_bytes);
  SNAP_TRY(read_exact(image.source(), ref.offset, bytes, "the file became shorter"));
  SNAP_TRY(parse_referenced(ref, bytes, wire::kCatalog, 0, 0));
  bytes.erase(bytes.begin(), bytes.begin() + kHeadBytes);
  return bytes;
}

}  // namespace

Result<std::vector<TouchedRange>> read_working_set(RandomSource& source) {
  SNAP_TRY_ASSIGN(image, Image::open(source, 0));
  SNAP_TRY_ASSIGN(seal, read_seal(*image, kWorkingSetTailBytes));
  std::vector<TouchedRange> none;
  const auto body_bytes = working_set_bytes_from_tail(seal.before);
  if (!body_bytes || seal.record.offset - image->header().header_bytes < kHeadBytes + *body_bytes) return none;
  // Other records may end with what looks like a tail: only the head tells.
  Bytes bytes(kHeadBytes + *body_bytes);
  const std::uint64_t offset = seal.record.offset - bytes.size();
  SNAP_TRY(read_exact(source, offset, bytes, "the file became shorter"));
  const auto record = parse_head(bytes, offset);
  if (!record || record->type != wire::kWorkingSet || record->head_check != seal.record.prior || record->body_bytes != *body_bytes) return none;
  const auto body = std::span<const std::byte>(bytes).subspan(kHeadBytes);
  SNAP_TRY(verify_body(*record, body));
  return parse_working_set(body, offset, image->catalog().regions);
}

Result<WorkingSetEdit> edit_working_set(RandomSource& source, std::span<const TouchedRange> ranges) {
  SNAP_TRY_ASSIGN(image, Image::open(source, 0));
  if (const char* fault = working_set_fault(ranges, image->catalog().regions)) return invalid(fault);
  SNAP_TRY_ASSIGN(catalog, catalog_body(*image));
  SNAP_TRY_ASSIGN(seal, read_seal(*image, 0));
  SNAP_TRY_ASSIGN(before, find_before_seal(*image, seal.record));
  const bool replaces = before && before->type == wire::kWorkingSet;
  const Record& first = replaces ? *before : seal.record;

  EndMaker end(first.offset, first.prior);
  if (!ranges.empty()) end.add(wire::kWorkingSet, encode_working_set(ranges));
  end.add(wire::kSeal, seal.body);
  Trailer trailer = image->trailer();
  trailer.catalog = end.add(wire::kCatalog, catalog);
  trailer.file_bytes = end.offset() + kTrailerBytes;
  trailer.records = trailer.records - (replaces ? 1 : 0) + (ranges.empty() ? 0 : 1);
  append(end.bytes(), encode_trailer(trailer));
  return WorkingSetEdit{first.offset, std::move(end.bytes())};
}

Result<void> write_with_working_set(RandomSource& source, std::span<const TouchedRange> ranges, ByteSink& sink) {
  SNAP_TRY_ASSIGN(edit, edit_working_set(source, ranges));
  SNAP_TRY(copy_front(source, edit.front_bytes, sink));
  return sink.write(edit.end);
}

}  // namespace snap
