// SPDX-License-Identifier: Apache-2.0
// Small differences that hold every kind of page, and the snapshots that they are against.
#pragma once

#include "support/damage.h"
#include "support/small_parent.h"

namespace snap::test {

/// How the stored pages of a small child are stored.
enum class SmallChild { kStore, kLz4, kZstd, kDictionary, kNamed };
inline constexpr SmallChild kAllSmallChildren[] = {SmallChild::kStore, SmallChild::kLz4, SmallChild::kZstd, SmallChild::kDictionary, SmallChild::kNamed};
inline const char* name_of(SmallChild kind) {
  static constexpr const char* names[] = {"Store", "Lz4", "Zstd", "Dictionary", "Named"};
  return names[static_cast<int>(kind)];
}

/// Stored, so that its bytes are the same everywhere.
inline Sample small_parent() {
  Sample sample;
  sample.options.codec = Codec::kStore;
  sample.options.block_bytes = 1u << 14;
  sample.add(RegionKind::kMemory, "ram", small_parent_ram());
  sample.add(RegionKind::kState, "dev", small_parent_dev());
  return sample;
}

/// Block 0: zero, same, same, a copy of the parent's page 9. Block 1: no record. Block 2: raw, a copy of it, same, XOR; or a page like the
/// parent's there or, kNamed, elsewhere. Block 3, short: a copy of another block's page, the others same.
inline Sample small_child(SmallChild kind) {
  Sample sample = small_parent();
  sample.metadata = {{"child", name_of(kind)}};
  sample.options.codec = kind == SmallChild::kStore ? Codec::kStore : kind == SmallChild::kLz4 ? Codec::kLz4 : Codec::kZstd;
  sample.options.parent_hint = "base";
  Bytes& ram = sample.regions[0].content;
  const Bytes base = ram;
  const bool over_parent = kind == SmallChild::kDictionary || kind == SmallChild::kNamed;
  std::fill_n(page_of(ram, 0).begin(), kPage, std::byte{0});
  std::copy_n(base.begin() + 9 * kPage, kPage, page_of(ram, 3).begin());
  if (over_parent) {
    sample.options.delta = kind == SmallChild::kDictionary ? DeltaForm::kDictionary : DeltaForm::kAuto;
    const std::size_t like = kind == SmallChild::kDictionary ? 8 : 5;
    std::copy_n(base.begin() + static_cast<std::ptrdiff_t>(like * kPage), kPage, page_of(ram, 8).begin());
    Random(903).fill(page_of(ram, 8).subspan(2000, 20));
  } else {
    for (std::size_t i = 0; i < kPage; ++i) page_of(ram, 8)[i] = static_cast<std::byte>("the quick brown fox "[i % (20 - i / 700)]);
    if (kind != SmallChild::kStore) page_of(ram, 11)[77] ^= std::byte{0x55};  // XOR
  }
  copy_page_of(ram, 8, 9);
  copy_page_of(ram, 8, 12);
  return sample;
}

/// The parent, and a child as a file. parent_pages: pages of the parent may be copied and named.
class SmallFamily {
 public:
  explicit SmallFamily(SmallChild kind) : parent_sample(small_parent()), parent_file(make_file(parent_sample)), child(small_child(kind)) {
    parent_source = memory_source(parent_file);
    auto opened = Reader::open(*parent_source);
    if (!opened) {
      ADD_FAILURE() << explain(opened.error());
      return;
    }
    parent = std::move(*opened);
    auto pages = ParentPages::index(*parent, {});
    if (!pages) {
      ADD_FAILURE() << explain(pages.error());
      return;
    }
    child.options.parent = parent.get();
    child.options.parent_pages = pages->get();
    file = make_file(child);
    child.options.parent_pages = nullptr;
  }
  Sample parent_sample;
  Bytes parent_file;
  std::unique_ptr<RandomSource> parent_source;
  std::unique_ptr<Reader> parent;
  Sample child;
  Bytes file;
};

}  // namespace snap::test
