// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "base/fail.h"
#include "vmm/big_endian.h"
#include "vmm/page_ram.h"

namespace snap {
namespace {

constexpr const char* kEndsEarly = "the RAM section ends early";
constexpr std::size_t kBufferBytes = 1u << 20;
constexpr std::uint64_t kHoleFirst = kVgaHoleOffset / kPageBytes;
constexpr std::uint64_t kHolePages = kVgaHoleBytes / kPageBytes;
/// No form needs fewer bytes of the stream for a page of a live save.
constexpr std::uint64_t kLeastPageBytes = 9;

enum LiveFlag : std::uint64_t { kFullFlag = 0x01, kFillFlag = 0x02, kSizeFlag = 0x04, kPageFlag = 0x08, kEosFlag = 0x10 };
enum SectionType : std::uint8_t { kStart = 1, kPart = 2, kEnd = 3 };

class Scanner {
 public:
  Scanner(StreamSource& stream, const StreamLayout& layout)
      : stream_(stream), layout_(layout), cursor_(stream, layout.ram_begin, layout.ram_end, kBufferBytes) {}

  Result<PageScan> run() {
    switch (layout_.form) {
      case RamForm::kPages:
        SNAP_TRY(version_1());
        break;
      case RamForm::kKvmLive:
        SNAP_TRY(kvm_live());
        break;
      default:
        SNAP_TRY(live());
        break;
    }
    scan_.ram_end = cursor_.offset();
    scan_.ram_bytes = page_count_ * kPageBytes;
    return std::move(scan_);
  }

 private:
  Result<void> version_1();
  Result<void> kvm_live();
  Result<void> live();
  Result<bool> section();
  Result<void> words();
  Result<void> size_word(std::uint64_t word, std::uint64_t at);
  Result<void> take_page(PageForm form, std::uint64_t page);
  Result<void> take_fill(PageForm form, std::uint64_t page);
  void seen(std::uint64_t page);
  Result<void> all_seen() const;
  void literal(std::uint64_t value, unsigned bytes);
  Result<void> within_limit() const;

  StreamSource& stream_;
  const StreamLayout& layout_;
  StreamCursor cursor_;
  PageScan scan_;
  std::uint64_t page_count_ = 0;
  std::vector<bool> seen_;
  std::uint64_t seen_count_ = 0;
  std::uint32_t block_section_ = 0;
  bool block_known_ = false;
};

void Scanner::literal(std::uint64_t value, unsigned bytes) {
  Bytes encoded;
  append_be(encoded, value);
  scan_.recipe.literal(std::span(encoded).last(bytes));
}

Result<void> Scanner::within_limit() const {
  if (scan_.recipe.bytes() <= kMaxRecipeBytes) return {};
  return fail(Code::kLimit, "the RAM section is in too many pieces", cursor_.offset());
}

Result<void> Scanner::take_page(PageForm form, std::uint64_t page) {
  SNAP_TRY(cursor_.skip(kPageBytes, kEndsEarly));
  scan_.recipe.page(form, page);
  seen(page);
  return {};
}

Result<void> Scanner::take_fill(PageForm form, std::uint64_t page) {
  SNAP_TRY_ASSIGN(fill, cursor_.take_byte(kEndsEarly));
  scan_.recipe.fill(form, page, std::byte{fill});
  seen(page);
  return {};
}

void Scanner::seen(std::uint64_t page) {
  if (page >= seen_.size()) seen_.resize(static_cast<std::size_t>(page) + 1);
  if (seen_[static_cast<std::size_t>(page)]) {
    scan_.repeats = true;
    return;
  }
  seen_[static_cast<std::size_t>(page)] = true;
  ++seen_count_;
}

/// KVM left the VGA hole out; nothing else may lack.
Result<void> Scanner::all_seen() const {
  std::uint64_t expected = page_count_;
  for (std::uint64_t page = kHoleFirst; page < std::min(kHoleFirst + kHolePages, page_count_); ++page) {
    if (page >= seen_.size() || !seen_[static_cast<std::size_t>(page)]) --expected;
  }
  if (seen_count_ != expected) return truncated(cursor_.offset(), "pages are missing from the RAM section");
  return {};
}

/// A hole shows only in the number of pages, so the record's end decides.
Result<void> Scanner::version_1() {
  if (layout_.size_field == 0 || layout_.size_field % kPageBytes != 0) {
    return corrupt(layout_.ram_begin - 4, "the RAM's size is not one of whole pages", layout_.size_field);
  }
  page_count_ = layout_.size_field / kPageBytes;
  StreamCursor count(stream_, layout_.ram_begin, layout_.ram_end, kBufferBytes);
  std::uint64_t pages = 0;
  for (; pages < page_count_ && count.left() != 0; ++pages) {
    SNAP_TRY_ASSIGN(type, count.take_byte(kEndsEarly));
    if (type > 1) return corrupt(count.offset() - 1, "unknown record type in the RAM section", type);
    SNAP_TRY(count.skip(type == 0 ? kPageBytes : 1, kEndsEarly));
  }
  const bool hole = pages != page_count_;
  if (hole && pages + kHolePages != page_count_) return truncated(count.offset(), kEndsEarly);
  for (std::uint64_t page = 0; page < page_count_; ++page) {
    SNAP_TRY(within_limit());
    if (hole && page == kHoleFirst) page += kHolePages;
    SNAP_TRY_ASSIGN(type, cursor_.take_byte(kEndsEarly));
    if (type == 0) {
      SNAP_TRY(take_page(PageForm::kVersion1, page));
    } else {
      SNAP_TRY(take_fill(PageForm::kVersion1, page));
    }
  }
  return {};
}

/// No size is recorded: the last page is the RAM's end.
Result<void> Scanner::kvm_live() {
  while (true) {
    const std::uint64_t at = cursor_.offset();
    SNAP_TRY(within_limit());
    SNAP_TRY_ASSIGN(address, cursor_.take_be32(kEndsEarly));
    if (address == 1) break;
    if (address % kPageBytes != 0) return corrupt(at, "a page address in the RAM section is not aligned", address);
    SNAP_TRY(take_page(PageForm::kKvmLive, address / kPageBytes));
  }
  literal(1, 4);
  page_count_ = seen_.size();
  if (page_count_ == 0) return corrupt(cursor_.offset(), "the RAM section has no pages");
  return all_seen();
}

/// From the START section's body to the end of the END section.
Result<void> Scanner::live() {
  SNAP_TRY(words());
  while (true) {
    SNAP_TRY_ASSIGN(more, section());
    if (!more) break;
  }
  if (page_count_ == 0) return corrupt(cursor_.offset(), "the RAM section does not say the RAM's size");
  return all_seen();
}

/// One section of a live save. False after the RAM's last.
Result<bool> Scanner::section() {
  SNAP_TRY(within_limit());
  const std::uint64_t at = cursor_.offset();
  SNAP_TRY_ASSIGN(type, cursor_.take_byte(kEndsEarly));
  if (type != kStart && type != kPart && type != kEnd) {
    return corrupt(at, "the RAM section is not complete when another begins", type);
  }
  SNAP_TRY_ASSIGN(id, cursor_.take_be32(kEndsEarly));
  literal(type, 1);
  literal(id, 4);
  if (type == kStart) {
    SNAP_TRY_ASSIGN(head, take_section_head(cursor_));
    if (head.id() != "block") return unsupported(at, "a section of unknown length comes before the RAM's end");
    literal(head.id_length, 1);
    scan_.recipe.literal(bytes_of(head.id()));
    literal(head.instance, 4);
    literal(head.version, 4);
    block_section_ = id;
    block_known_ = true;
  } else if (id == layout_.section_id) {
    SNAP_TRY(words());
    return type != kEnd;
  } else if (!block_known_ || id != block_section_) {
    return unsupported(at, "a section of unknown length comes before the RAM's end");
  }
  SNAP_TRY_ASSIGN(word, cursor_.take_be64(kEndsEarly));
  if (word != 2) return unsupported(at, "VM state with block migration data");
  literal(word, 8);
  return true;
}

/// Words of the RAM up to EOS.
Result<void> Scanner::words() {
  while (true) {
    const std::uint64_t at = cursor_.offset();
    SNAP_TRY(within_limit());
    SNAP_TRY_ASSIGN(word, cursor_.take_be64(kEndsEarly));
    const std::uint64_t flags = word % kPageBytes;
    const std::uint64_t page = word / kPageBytes;
    if (flags == kPageFlag || flags == kFillFlag) {
      if (page >= page_count_) return corrupt(at, "a page of the RAM section lies past the RAM's end", word);
      SNAP_TRY(flags == kPageFlag ? take_page(PageForm::kLive3, page) : take_fill(PageForm::kLive3, page));
    } else if (flags == kSizeFlag) {
      SNAP_TRY(size_word(word, at));
    } else if (flags == kEosFlag) {
      literal(word, 8);
      return {};
    } else {
      return unsupported(at, "unknown word in the RAM section", word);
    }
  }
}

Result<void> Scanner::size_word(std::uint64_t word, std::uint64_t at) {
  const std::uint64_t pages = word / kPageBytes;
  // Every page is sent at least once, so a stream cannot stand for more than its length.
  const std::uint64_t most = stream_.size() / kLeastPageBytes + kHolePages;
  if (pages == 0 || pages > most) return corrupt(at, "the RAM's size is more than the VM state can hold", word);
  if (page_count_ != 0 && pages != page_count_) return corrupt(at, "the RAM section names two sizes of RAM", word);
  page_count_ = pages;
  literal(word, 8);
  return {};
}

}  // namespace

Result<PageScan> scan_pages(StreamSource& stream, const StreamLayout& layout) { return Scanner(stream, layout).run(); }

}  // namespace snap
