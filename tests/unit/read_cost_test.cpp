// SPDX-License-Identifier: Apache-2.0
// What a page costs to read: told, and counted when it is read.
#include <cstring>
#include <deque>
#include <set>

#include "support/sample.h"

namespace snap::test {
namespace {

/// Remembers at which offsets it was read.
class NotingSource final : public RandomSource {
 public:
  explicit NotingSource(const Bytes& bytes) : inner_(memory_source(bytes)) {}
  Result<std::uint64_t> size() override { return inner_->size(); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    offsets.insert(offset);
    return inner_->read_at(offset, out);
  }
  std::set<std::uint64_t> offsets;

 private:
  std::unique_ptr<RandomSource> inner_;
};

/// Offset and size of each BLOCK record, SPEC 5.
std::map<std::uint64_t, std::uint64_t> block_records(const Bytes& file) {
  std::map<std::uint64_t, std::uint64_t> found;
  const auto number = [&](std::uint64_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, file.data() + at, sizeof value);
    return value;
  };
  for (std::uint64_t at = number(12); at + 48 <= file.size() && std::memcmp(file.data() + at, "vmsr", 4) == 0;) {
    const std::uint64_t bytes = 48 + number(at + 8);
    if (file[at + 4] == std::byte{2}) found[at] = bytes;
    at += bytes;
  }
  return found;
}

/// A chain of files whose readers are opened anew for each question.
class ColdChain {
 public:
  void add(Sample next, DeltaForm form) {
    const auto readers = open();
    std::unique_ptr<ParentPages> pages;
    if (!readers.empty()) {
      auto indexed = ParentPages::index(*readers.back(), {});
      ASSERT_OK(indexed);
      pages = std::move(*indexed);
      next.options.parent = readers.back().get();
      next.options.parent_pages = pages.get();
      next.options.delta = form;
    }
    files_.push_back(make_file(next));
    sources_.emplace_back(files_.back());
  }

  std::vector<std::unique_ptr<Reader>> open() {
    std::vector<std::unique_ptr<Reader>> readers;
    for (NotingSource& source : sources_) {
      auto reader = Reader::open(source, {.parent = readers.empty() ? nullptr : readers.back().get()});
      EXPECT_OK(reader);
      readers.push_back(std::move(*reader));
    }
    return readers;
  }

  ReadCost counted(std::size_t region) {
    ReadCost cost;
    const std::uint64_t bytes = open().back()->regions()[region].size;
    for (std::uint64_t at = 0; at < bytes; at += kPage) {
      const auto readers = open();
      for (NotingSource& source : sources_) source.offsets.clear();
      Bytes page(static_cast<std::size_t>(std::min<std::uint64_t>(kPage, bytes - at)));
      EXPECT_OK(readers.back()->read(region, at, page));
      unsigned files = 0;
      std::uint64_t read = 0;
      for (std::size_t i = 0; i < files_.size(); ++i) {
        const std::uint64_t before = read;
        for (const auto& [offset, size] : block_records(files_[i])) read += sources_[i].offsets.contains(offset) ? size : 0;
        files += read != before ? 1 : 0;
      }
      ++cost.pages;
      cost.mean_files += files;
      cost.mean_bytes += static_cast<double>(read);
      cost.worst_files = std::max(cost.worst_files, files);
      cost.worst_bytes = std::max(cost.worst_bytes, read);
    }
    cost.mean_files /= static_cast<double>(cost.pages);
    cost.mean_bytes /= static_cast<double>(cost.pages);
    return cost;
  }

 private:
  std::deque<Bytes> files_;
  std::deque<NotingSource> sources_;
};

Sample sample_of(std::uint32_t block_bytes, const Bytes& memory) {
  Sample sample;
  sample.options.block_bytes = block_bytes;
  sample.add(RegionKind::kMemory, "pc.ram", memory);
  return sample;
}

Bytes worked_on(Bytes content, std::uint64_t seed) {
  Random random(seed);
  const std::size_t pages = content.size() / kPage;
  for (int i = 0; i < 40; ++i) {
    const auto to = std::span(content).subspan(random.below(pages) * kPage, kPage);
    const auto from = std::span(content).subspan(random.below(pages) * kPage, kPage);
    switch (random.below(6)) {
      case 0: random.fill(to); break;
      case 1: std::fill(to.begin(), to.end(), std::byte{0}); break;
      case 2: std::copy(from.begin(), from.end(), to.begin()); break;
      case 3: std::copy_n(from.begin(), 3000, to.begin() + 1024); break;  // a dictionary names the page that it came from
      default: to[random.below(kPage)] ^= std::byte{0x5A};
    }
  }
  return content;
}

class ReadCosts : public testing::TestWithParam<DeltaForm> {};
INSTANTIATE_TEST_SUITE_P(All, ReadCosts, testing::Values(DeltaForm::kAuto, DeltaForm::kRaw, DeltaForm::kXor, DeltaForm::kDictionary));

TEST_P(ReadCosts, AreWhatReadingTakes) {
  Bytes content = make_content(Pattern::kMixed, 100 * kPage, 1);
  const Bytes noise = make_content(Pattern::kRandom, 100 * kPage + 77, 11);
  content.insert(content.end(), noise.begin(), noise.end());
  ColdChain chain;
  const std::uint32_t blocks[] = {65536, 65536, 16384, 262144};
  for (std::size_t i = 0; i < std::size(blocks); ++i) {
    SCOPED_TRACE(i);
    chain.add(sample_of(blocks[i], content), GetParam());
    const auto readers = chain.open();
    const auto told = read_cost(*readers.back(), 0);
    ASSERT_OK(told);
    const ReadCost counted = chain.counted(0);
    EXPECT_EQ(told->pages, counted.pages);
    EXPECT_DOUBLE_EQ(told->mean_files, counted.mean_files);
    EXPECT_DOUBLE_EQ(told->mean_bytes, counted.mean_bytes);
    EXPECT_EQ(told->worst_files, counted.worst_files);
    EXPECT_EQ(told->worst_bytes, counted.worst_bytes);
    content = worked_on(content, i + 2);
    if (i == 1) content.resize(250 * kPage);
    if (i == 2) content.resize(150 * kPage + 1);
  }
}

TEST(ReadCostsOf, AnEmptyRegionAreNothing) {
  ColdChain chain;
  chain.add(sample_of(65536, {}), DeltaForm::kAuto);
  const auto cost = read_cost(*chain.open().back(), 0);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->pages, 0u);
  EXPECT_EQ(cost->mean_files, 0);
  EXPECT_EQ(read_cost(*chain.open().back(), 1).error().code, Code::kInvalidArgument);
}

TEST(ReadCostsOf, AHugeEmptyRegionAreToldAtOnce) {
  Bytes file;
  auto sink = memory_sink(file);
  auto writer = Writer::create(*sink, {});
  ASSERT_OK(writer);
  RegionInfo info{RegionKind::kMemory, "ram", std::uint64_t{1} << 50, 12, {}};
  ASSERT_OK((*writer)->begin_region(info));
  ASSERT_OK((*writer)->skip((std::uint64_t{1} << 50) - kPage));
  ASSERT_OK((*writer)->write(make_content(Pattern::kText, kPage, 3)));
  ASSERT_OK((*writer)->end_region());
  ASSERT_OK((*writer)->finish());
  const auto source = memory_source(file);
  const auto reader = Reader::open(*source);
  ASSERT_OK(reader);
  const auto cost = read_cost(**reader, 0);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->pages, std::uint64_t{1} << 38);
  EXPECT_EQ(cost->worst_files, 1u);
}

// Every page of the last child needs the same 65 blocks: they count once.
TEST(ReadCostsOf, DictionariesOverDictionariesAreTold) {
  Bytes content = make_content(Pattern::kRandom, 1024 * kPage, 12);
  ColdChain chain;
  for (const std::uint32_t block : {65536u, 4u << 20, 4u << 20}) {
    chain.add(sample_of(block, content), DeltaForm::kDictionary);
    for (std::size_t page = 0; page < 1024; ++page) content[page * kPage + 77] ^= std::byte{0x5A};
    Random(block + content.size()).fill(std::span(content).first(64));
  }
  const auto readers = chain.open();
  const auto cost = read_cost(*readers.back(), 0);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->worst_files, 3u);
}

TEST(ReadCostsOf, ADamagedParentAreItsError) {
  const Bytes content = make_content(Pattern::kMixed, 64 * kPage, 5);
  Bytes base = make_file(sample_of(65536, content));
  const auto whole = memory_source(base);
  const auto parent = Reader::open(*whole);
  ASSERT_OK(parent);
  Sample next = sample_of(65536, worked_on(content, 6));
  next.options.parent = parent->get();
  const Bytes child = make_file(next);
  base[block_records(base).begin()->first + 60] ^= std::byte{1};
  const auto source = memory_source(child);
  const auto reader = Reader::open(*source, {.parent = parent->get()});
  ASSERT_OK(reader);
  const auto cost = read_cost(**reader, 0);
  ASSERT_FALSE(cost.has_value());
  EXPECT_EQ(cost.error().code, Code::kCorrupt);
  EXPECT_EQ(cost.error().ancestor, 1);
}

TEST(WithoutParent, TellsOfItselfAndOfItsChanges) {
  const Bytes content = make_content(Pattern::kMixed, 100 * kPage, 7);
  const Bytes base = make_file(sample_of(65536, content));
  const auto base_source = memory_source(base);
  const auto parent = Reader::open(*base_source, {.without_parent = true});
  ASSERT_OK(parent);
  Bytes page(kPage);
  EXPECT_OK((*parent)->read(0, 0, page));  // it stands alone
  Sample next = sample_of(16384, worked_on(content, 8));
  next.metadata["k"] = "v";
  next.options.parent = parent->get();
  next.options.parent_hint = "base";
  const Bytes child = make_file(next);
  const auto source = memory_source(child);
  const auto whole = Reader::open(*source, {.parent = parent->get()});
  const auto bare = Reader::open(*source, {.without_parent = true});
  ASSERT_OK(whole);
  ASSERT_OK(bare);
  EXPECT_EQ((*bare)->metadata(), next.metadata);
  EXPECT_EQ((*bare)->digest(), (*whole)->digest());
  EXPECT_EQ((*bare)->depth(), 1u);
  EXPECT_EQ((*bare)->parent(), nullptr);
  EXPECT_EQ((*bare)->parent_ref()->hint, "base");
  EXPECT_EQ((*bare)->region_stats(0).block_records, (*whole)->region_stats(0).block_records);
  const auto changes = [](Reader& reader) {
    std::vector<std::uint64_t> all;
    EXPECT_OK(visit_changes(reader, 0, [&](const ChangedRange& range) -> Result<void> {
      all.insert(all.end(), {range.offset, range.length, range.zero});
      return {};
    }));
    return all;
  };
  EXPECT_EQ(changes(**bare), changes(**whole));
  EXPECT_FALSE(changes(**bare).empty());
}

TEST(WithoutParent, HasNoContent) {
  const Bytes content = make_content(Pattern::kMixed, 20 * kPage, 9);
  const Bytes base = make_file(sample_of(65536, content));
  const auto base_source = memory_source(base);
  const auto parent = Reader::open(*base_source);
  ASSERT_OK(parent);
  Sample next = sample_of(65536, worked_on(content, 10));
  next.options.parent = parent->get();
  const Bytes child = make_file(next);
  const auto source = memory_source(child);
  const auto bare = Reader::open(*source, {.without_parent = true});
  ASSERT_OK(bare);
  Bytes page(kPage);
  EXPECT_EQ((*bare)->read(0, 0, page).error().code, Code::kParentMismatch);
  EXPECT_EQ((*bare)->read_batch({}).error().code, Code::kParentMismatch);
  EXPECT_EQ((*bare)->block_digest(0, 0).error().code, Code::kParentMismatch);
  EXPECT_EQ((*bare)->range_digest(0, 0, 0).error().code, Code::kParentMismatch);
  EXPECT_EQ((*bare)->extent(0, 0).error().code, Code::kParentMismatch);
  Bytes memory(content.size());
  EXPECT_EQ(restore_to_memory(**bare, 0, memory, {.threads = 0}).error().code, Code::kParentMismatch);
  EXPECT_FALSE(apply_changes(**bare, 0, memory, {.threads = 0}).has_value());
  EXPECT_FALSE(hold_in_memory(**bare, {.threads = 0}).has_value());
  EXPECT_FALSE(read_cost(**bare, 0).has_value());
  EXPECT_EQ(Reader::open(*source, {.parent = parent->get(), .without_parent = true}).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace snap::test
