// SPDX-License-Identifier: Apache-2.0
#include "vmm/static_probe.h"

#include "base/fail.h"
#include "vmm/inflate_pipe.h"

namespace snap {
namespace {

/// Follows the type bytes as they would lie with one block size.
class Hypothesis {
 public:
  explicit Hypothesis(std::uint32_t block_bytes) : record_bytes_(block_bytes + 1) {}

  void look(std::span<const std::byte> bytes) {
    while (!refuted_ && next_ < at_ + bytes.size()) {
      type_ = bytes[static_cast<std::size_t>(next_ - at_)];
      refuted_ = type_ != std::byte{0};
      next_ += record_bytes_;
    }
    at_ += bytes.size();
  }
  bool refuted() const { return refuted_; }
  std::byte type() const { return type_; }

 private:
  std::uint64_t record_bytes_;
  std::uint64_t at_ = 0;
  std::uint64_t next_ = 0;
  bool refuted_ = false;
  std::byte type_{0};
};

}  // namespace

std::uint32_t slack_bytes(std::uint32_t size_field, std::uint32_t block_bytes) {
  return (block_bytes - size_field % block_bytes) % block_bytes;
}

bool shape_fits(const StaticShape& shape, std::uint32_t size_field, std::uint64_t inflated) {
  const std::uint64_t record_bytes = shape.block_bytes + std::uint64_t{1};
  if (inflated % record_bytes != 0) return false;
  const std::uint64_t blocks = inflated / record_bytes * shape.block_bytes;
  const std::uint64_t with_hole = blocks + (shape.hole_left_out ? kVgaHoleBytes : 0);
  // Only the size's low 32 bits are in the stream.
  return static_cast<std::uint32_t>(with_hole - slack_bytes(size_field, shape.block_bytes)) == size_field &&
         (!shape.hole_left_out || with_hole >= kVgaHoleOffset + kVgaHoleBytes);
}

Error record_type_error(std::byte type, std::uint64_t offset) {
  if (type == std::byte{1}) return unsupported(offset, "the RAM refers to blocks of the disk (record type 1)", 1);
  return corrupt(offset, "unknown record type in the RAM section", std::to_integer<std::uint64_t>(type));
}

Result<StaticShape> probe_static_ram(StreamSource& stream, const StreamLayout& layout, const std::optional<Machine>& machine) {
  StaticShape shape;
  bool hole_known = !layout.kvm_userspace;
  if (layout.kvm_userspace && machine && machine->hole != VgaHole::kEither) {
    hole_known = true;
    shape.hole_left_out = machine->hole == VgaHole::kLeftOut;
  }
  CblockReader input(stream, layout.ram_begin, layout.ram_end);
  const auto pipe = InflatePipe::create(input, 0);
  Hypothesis small(kSmallBlockBytes);
  Hypothesis large(kLargeBlockBytes);
  std::uint64_t inflated = 0;
  while (true) {
    SNAP_TRY_ASSIGN(bytes, pipe->next());
    if (bytes.empty()) break;
    inflated += bytes.size();
    small.look(bytes);
    large.look(bytes);
    if (small.refuted() && large.refuted()) return record_type_error(small.type(), layout.ram_begin);
    shape.block_bytes = small.refuted() ? kLargeBlockBytes : kSmallBlockBytes;
    if (hole_known && (small.refuted() || large.refuted())) return shape;
  }
  // The whole RAM was looked at: its length decides.
  for (const std::uint32_t block_bytes : {kSmallBlockBytes, kLargeBlockBytes}) {
    if (block_bytes == kSmallBlockBytes ? small.refuted() : large.refuted()) continue;
    for (const bool hole_left_out : {false, true}) {
      const StaticShape candidate{block_bytes, hole_left_out};
      const bool possible = hole_known ? hole_left_out == shape.hole_left_out : true;
      if (possible && shape_fits(candidate, layout.size_field, inflated)) return candidate;
    }
  }
  if (small.refuted() && small.type() == std::byte{1}) return record_type_error(small.type(), layout.ram_begin);
  return corrupt(layout.ram_begin, "the RAM section does not have the RAM's size", inflated);
}

}  // namespace snap
