// SPDX-License-Identifier: Apache-2.0
#include "vmm/static_ram.h"

#include <algorithm>

#include "base/fail.h"
#include "vmm/inflate_pipe.h"
#include "vmm/reencode.h"
#include "vmm/static_probe.h"

namespace snap {
namespace {

/// Takes the type bytes out of a stretch of records, in place.
class RecordStripper {
 public:
  explicit RecordStripper(std::uint32_t block_bytes) : block_bytes_(block_bytes) {}

  /// The blocks' bytes, moved to the front. Nothing where a type byte is not 0; see type().
  std::optional<std::span<std::byte>> strip(std::span<std::byte> bytes) {
    std::size_t kept = 0;
    std::size_t at = 0;
    while (at < bytes.size()) {
      if (left_ == 0) {
        type_ = bytes[at++];
        if (type_ != std::byte{0}) return std::nullopt;
        left_ = block_bytes_;
      }
      const std::size_t count = std::min<std::size_t>(left_, bytes.size() - at);
      std::memmove(bytes.data() + kept, bytes.data() + at, count);
      kept += count;
      at += count;
      left_ -= static_cast<std::uint32_t>(count);
    }
    return bytes.first(kept);
  }
  std::byte type() const { return type_; }

 private:
  std::uint32_t block_bytes_;
  std::uint32_t left_ = 0;  // of the block begun
  std::byte type_{0};
};

/// Blocks into regions: puts the hole in, keeps the last bytes back that are behind the RAM's end.
class BlockSink {
 public:
  BlockSink(RamRegions& regions, const StaticShape& shape, std::uint32_t slack)
      : regions_(regions), shape_(shape), slack_(slack) {}

  Result<void> write(std::span<const std::byte> bytes) {
    if (slack_ == 0) return place(bytes);
    append(held_, bytes);
    if (held_.size() <= slack_) return {};
    const std::size_t count = held_.size() - slack_;
    SNAP_TRY(place(std::span(held_).first(count)));
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
    return {};
  }
  const Bytes& held() const { return held_; }

 private:
  Result<void> place(std::span<const std::byte> bytes) {
    if (shape_.hole_left_out && regions_.bytes() <= kVgaHoleOffset && regions_.bytes() + bytes.size() > kVgaHoleOffset) {
      const auto before = static_cast<std::size_t>(kVgaHoleOffset - regions_.bytes());
      SNAP_TRY(regions_.write(bytes.first(before)));
      SNAP_TRY(regions_.skip(kVgaHoleBytes));
      bytes = bytes.subspan(before);
    }
    return regions_.write(bytes);
  }

  RamRegions& regions_;
  const StaticShape shape_;
  const std::uint32_t slack_;
  Bytes held_;
};

}  // namespace

Result<StaticRam> import_static_ram(StreamSource& stream, const StreamLayout& layout, const std::optional<Machine>& machine,
                                    Writer& writer, const ImportOptions& options) {
  SNAP_TRY_ASSIGN(shape, probe_static_ram(stream, layout, machine));
  StaticRam ram;
  ram.params.block_bytes = shape.block_bytes;
  if (shape.hole_left_out) ram.params.hole_offset = kVgaHoleOffset, ram.params.hole_bytes = kVgaHoleBytes;

  CblockReader input(stream, layout.ram_begin, layout.ram_end);
  RamRegions regions(writer, ram_regions(machine, kUnknownSize));
  BlockSink sink(regions, shape, slack_bytes(layout.size_field, shape.block_bytes));
  RecordStripper stripper(shape.block_bytes);
  ComparingSink comparing(stream, layout.ram_begin);
  std::unique_ptr<CblockEncoder> encoder;
  if (options.lossless) {
    SNAP_TRY_ASSIGN(created, CblockEncoder::create(ram.params, comparing));
    encoder = std::move(created);
  }
  const auto pipe = InflatePipe::create(input, options.threads);
  std::uint64_t inflated = 0;
  while (true) {
    SNAP_TRY_ASSIGN(bytes, pipe->next());
    if (bytes.empty()) break;
    inflated += bytes.size();
    if (encoder && comparing.same()) SNAP_TRY(encoder->feed(bytes));
    const auto blocks = stripper.strip(bytes);
    if (!blocks) return record_type_error(stripper.type(), input.position());
    SNAP_TRY(sink.write(*blocks));
  }
  if (!shape_fits(shape, layout.size_field, inflated)) {
    return corrupt(layout.ram_begin, "the RAM section does not have the RAM's size", inflated);
  }
  SNAP_TRY(regions.finish(layout.ram_begin));
  SNAP_TRY_ASSIGN(ram_end, input.piece_end(pipe->consumed()));
  ram.ram_end = ram_end;
  ram.slack = sink.held();
  ram.params.memory_bytes = regions.bytes();
  if (encoder) {
    if (comparing.same()) SNAP_TRY(encoder->finish());
    ram.reproducible = comparing.same() && comparing.offset() == ram_end;
  }
  return ram;
}

}  // namespace snap
