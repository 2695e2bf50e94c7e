// SPDX-License-Identifier: Apache-2.0
// Snapshots that are differences against each other.
#pragma once

#include <deque>

#include "support/sample.h"

namespace snap::test {

/// Files of a chain, each the child of the one before, and their readers.
class Chain {
 public:
  explicit Chain(const Sample& base) { add(base); }

  /// The next file: `next` as a difference against the last, or against it held in memory.
  void add(Sample next, bool held = false, bool moved = true) {
    std::unique_ptr<HeldSnapshot> memory;
    std::unique_ptr<ParentPages> pages;
    if (!readers_.empty()) {
      next.options.parent = &last();
      if (held) {
        auto decoded = hold_in_memory(last(), {.threads = 0});
        ASSERT_OK(decoded);
        memory = std::move(*decoded);
        next.options.parent = memory.get();
      }
      if (moved) {
        auto indexed = ParentPages::index(*next.options.parent, {});
        ASSERT_OK(indexed);
        pages = std::move(*indexed);
        next.options.parent_pages = pages.get();
      }
    }
    files_.push_back(make_file(next));
    sources_.push_back(memory_source(files_.back()));
    auto reader = Reader::open(*sources_.back(), {.parent = readers_.empty() ? nullptr : readers_.back().get()});
    ASSERT_OK(reader);
    readers_.push_back(std::move(*reader));
  }

  Reader& last() { return *readers_.back(); }
  Reader& reader(std::size_t i) { return *readers_.at(i); }
  const Bytes& file() const { return files_.back(); }
  Reader* parent() { return readers_.size() < 2 ? nullptr : readers_[readers_.size() - 2].get(); }

 private:
  std::deque<Bytes> files_;
  std::vector<std::unique_ptr<RandomSource>> sources_;
  std::vector<std::unique_ptr<Reader>> readers_;
};

/// What a guest does to its memory: pages rewritten, touched, zeroed, moved, swapped.
inline Bytes worked_on(Bytes content, std::uint64_t seed, unsigned changes) {
  Random random(seed);
  const std::size_t pages = content.size() / kPage;
  if (pages == 0) return content;
  const auto page = [&](std::size_t number) { return std::span(content).subspan(number * kPage, kPage); };
  for (unsigned i = 0; i < changes; ++i) {
    const auto to = page(random.below(pages));
    switch (random.below(6)) {
      case 0: random.fill(to); break;
      case 1: fill_page(Pattern::kText, random, to); break;
      case 2: std::fill(to.begin(), to.end(), std::byte{0}); break;
      case 3: {
        const auto from = page(random.below(pages));
        std::copy(from.begin(), from.end(), to.begin());
        break;
      }
      default:  // a few bytes here and there
        for (int k = 0; k < 5; ++k) to[random.below(kPage)] ^= std::byte{0x5A};
    }
  }
  return content;
}

}  // namespace snap::test
