// SPDX-License-Identifier: Apache-2.0
// How a VM state stream is made again from what a snapshot keeps of it: the state "qemu.vmstate.recipe".
// docs/import-legacy.md is the reference of its bytes:
//
//   "VMSTRCP1", stream bytes, then operations up to END; every number is a LEB128 varint.
//   0 END
//   1 LITERAL   n, n bytes
//   2 STATE     n, n bytes of name: the whole state of that name
//   3 PAGES     form, first page, count: for each page its mark and its 4096 bytes
//   4 FILLS     form, byte, first page, count: for each page its mark and the one byte that fills it
//   5 DEFLATE   block bytes, hole offset, hole bytes, memory bytes, level, window bits, memory level, piece bytes,
//               n, n bytes that follow memory in the last block
//
// "Memory" is all memory regions one behind the other in file order.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "snap/result.h"

namespace snap {

inline constexpr std::string_view kRecipeMagic = "VMSTRCP1";
/// What an import makes at most. A live save of 4 GiB whose pages come in no order at all needs a sixth of it.
inline constexpr std::uint64_t kMaxRecipeBytes = 64u << 20;

/// What stands before a page or fill byte of page p; A = 4096 p.
enum class PageForm : std::uint8_t {
  kVersion1 = 1,  ///< page: byte 0; fill: byte 1
  kLive3 = 2,     ///< page: be64 A + 8; fill: be64 A + 2
  kKvmLive = 3,   ///< page: be32 A
};
/// Bytes of the mark, the same for pages and fills.
unsigned mark_bytes(PageForm form);
void append_mark(Bytes& to, PageForm form, bool fill, std::uint64_t page);

struct DeflateParams {
  std::uint64_t block_bytes = 1024;
  std::uint64_t hole_offset = 0;  ///< memory [hole_offset, +hole_bytes) is not in the stream
  std::uint64_t hole_bytes = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t level = 1;
  std::uint64_t window_bits = 15;
  std::uint64_t memory_level = 9;
  std::uint64_t piece_bytes = 4096;
};

struct RecipeOp {
  enum Kind : std::uint8_t { kEnd = 0, kLiteral = 1, kState = 2, kPages = 3, kFills = 4, kDeflate = 5 } kind = kEnd;
  std::span<const std::byte> bytes;  ///< LITERAL, STATE: the name, DEFLATE: what follows memory
  PageForm form = PageForm::kVersion1;
  std::byte fill{0};
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  DeflateParams deflate;
};

/// Builds a recipe's operations; runs of pages grow by themselves.
class RecipeWriter {
 public:
  void literal(std::span<const std::byte> bytes);
  void state(std::string_view name);
  void page(PageForm form, std::uint64_t page);
  void fill(PageForm form, std::uint64_t page, std::byte byte);
  void deflate(const DeflateParams& params, std::span<const std::byte> slack);
  void append_operations(RecipeWriter& from);
  /// So far, at most a run less.
  std::size_t bytes() const { return out_.size() + literal_.size(); }
  /// Operations without head and END, as RecipeReader takes them.
  const Bytes& operations();
  Bytes finish(std::uint64_t stream_bytes);

 private:
  void flush();
  void extend(RecipeOp::Kind kind, PageForm form, std::uint64_t page, std::byte byte);

  Bytes out_;
  Bytes literal_;
  RecipeOp run_;  // kEnd: none
};

/// Takes operations one by one. The bytes are hostile.
class RecipeReader {
 public:
  explicit RecipeReader(std::span<const std::byte> operations) : in_(operations), bytes_(operations.size()) {}
  /// A whole recipe: checks its head, answers the stream's size.
  Result<std::uint64_t> open();
  /// kEnd at END or where the bytes are used up.
  Result<RecipeOp> next();
  bool at_end() const { return in_.empty(); }

 private:
  std::optional<std::span<const std::byte>> counted();
  bool take_run(RecipeOp& op);
  bool take_deflate(RecipeOp& op);
  std::uint64_t offset() const { return bytes_ - in_.rest().size(); }

  ByteReader in_;
  std::uint64_t bytes_;
};

}  // namespace snap
