// SPDX-License-Identifier: Apache-2.0
// Pages that come late in guests of many sizes, and the sets that remember them.
#include <chrono>
#include <set>

#include "support/stream_import.h"
#include "support/temporary.h"
#include "vmm/ram_intake.h"

namespace snap::test {
namespace {

TEST(PageSet, IsASetOfNumbers) {
  Random random(1);
  PageSet pages;
  std::set<std::uint64_t> model;
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t page = random.one_in(4) ? random.below(std::uint64_t{1} << 22) : random.below(3000);
    if (random.one_in(3)) {
      pages.remove(page);
      model.erase(page);
    } else {
      pages.add(page);
      model.insert(page);
    }
    const std::uint64_t begin = random.one_in(2) ? page : random.below(5000);
    const std::uint64_t end = begin + random.below(random.one_in(2) ? 200 : std::uint64_t{1} << 23);
    const auto found = model.lower_bound(begin);
    ASSERT_EQ(pages.next(begin, end), found == model.end() ? end : std::min(*found, end));
    ASSERT_EQ(pages.has(begin), model.contains(begin));
  }
}

/// Late pages, zero or not, in a terabyte of zeros: only their blocks are read again, and only what has content is stored.
TEST(RamIntake, LatePagesFarApartCostWhatTheyAre) {
  constexpr std::uint64_t kPages = std::uint64_t{1} << 28;
  MigrationStream stream;
  stream.head().start_ram().number((kPages * 4096) | kFlagList, 8).listed("pc.ram", kPages * 4096).eos().part();
  std::map<std::uint64_t, Buffer> model;
  stream.page("pc.ram", kPages - 1, page_like(1));
  model[kPages - 1] = page_like(1);
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::uint64_t page = i * 876543 % (kPages - 1);
    if (i % 3 == 0) {
      stream.zero("pc.ram", page);
    } else if (i % 3 == 1) {
      stream.page("pc.ram", page, page_like(4));
      model[page] = page_like(4);
    } else {
      Buffer content(4096);
      content[i] = std::byte{9};
      stream.zero("pc.ram", page).xbzrle("pc.ram", page, xbzrle_delta(Buffer(4096), content));
      model[page] = content;
    }
  }
  stream.eos().tail();
  const auto begun = std::chrono::steady_clock::now();
  const StreamImport imported = import_stream(stream.bytes);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(60)) << "a terabyte of zeros takes minutes";
  ASSERT_TRUE(imported.ok()) << explain(imported.error);
  EXPECT_TRUE(imported.corrected);
  Opened opened(imported.file);
  std::set<std::uint64_t> blocks;
  for (const auto& [page, content] : model) {
    blocks.insert(page / 4);
    Bytes read(4096);
    ASSERT_OK(opened->read(0, page * 4096, read));
    EXPECT_TRUE(read == content) << page;
  }
  EXPECT_EQ(opened->region_stats(0).block_records, blocks.size());
}

TEST(RamIntake, ZeroPagesThatComeLateTakeNoRoom) {
  TemporaryFile no_directory;  // where no spool can be made
  ImportOptions options;
  options.spool_dir_fd = no_directory.fd();
  ModelledGuest guest(blank_ram({{"pc.ram", 9}}));
  guest.stream.head().start_ram(guest.ram).part();
  for (std::size_t page = 0; page < 9; ++page) guest.page(0, page, page_like(static_cast<unsigned>(page + 1)));
  for (std::size_t page = 2; page < 5; ++page) guest.fill(0, page, 0);
  const StreamImport imported = import_stream(guest.stream.eos().tail().bytes, {}, options);
  ASSERT_TRUE(imported.ok()) << explain(imported.error);
  EXPECT_TRUE(imported.corrected);
  expect_ram(imported.file, guest.ram);
}

}  // namespace
}  // namespace snap::test
