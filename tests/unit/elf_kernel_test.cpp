// SPDX-License-Identifier: Apache-2.0
// ELF cores out of a guest that is a Linux: at which virtual addresses they show its memory.
#include <cstdio>
#include <cstring>
#include <map>

#include "support/elf_cores.h"

namespace snap::test {
namespace {

/// 6 MiB of memory around a hole of 1 MiB in the guest, with VMCOREINFO in the last page; below that a page of zeros.
MemorySnapshot linux_guest(std::string_view vmcoreinfo) {
  constexpr std::size_t kSize = 6u << 20;
  MemorySnapshot snapshot;
  static const Buffer content = noise(kSize, 1);
  Buffer ram = content;
  std::fill_n(ram.end() - 2 * 4096, 2 * 4096, std::byte{0});
  std::copy_n(reinterpret_cast<const std::byte*>(vmcoreinfo.data()), vmcoreinfo.size(), ram.end() - 4096);
  add_region(snapshot, RegionKind::kMemory, "ram", ram, {{0, 0, 1u << 20}, {2u << 20, 1u << 20, 5u << 20}});
  return snapshot;
}

std::string vmcoreinfo_with(std::string_view lines) { return "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(a)=1\n" + std::string(lines); }

TEST(ElfKernel, ShowsTheImageOfTheKernelAtItsVirtualAddresses) {
  struct Case {
    std::string_view lines;
    std::uint64_t virtual_address;
    std::uint64_t address;
    std::uint64_t bytes;
  };
  constexpr std::string_view kNear = "SYMBOL(_stext)=ffffffff80300000\n";
  const Case cases[] = {
      {"NUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff80200000\n", 0xffffffff80200000, 2u << 20, 5u << 20},
      {"NUMBER(phys_base)=1048576\nSYMBOL(_stext)=ffffffff80200123\nKERNELOFFSET=10\n", 0xffffffff80200000, 3u << 20, 4u << 20},
      {"SYMBOL(_stext)=ffffffff80001000\nNUMBER(phys_base)=0\n", 0xffffffff80001000, 4096, 255u << 12},
      {"SYMBOL(_stext)=ffffffff80000000\nNUMBER(phys_base)=0\n", 0xffffffff80000000, 0, 1u << 20},
      {"SYMBOL(_stext)=ffffffff90001000\nNUMBER(phys_base)=-268435456\n", 0xffffffff90001000, 4096, 255u << 12},
      {"SYMBOL(_stext)=ffffffffa0300000\nNUMBER(phys_base)=-536870912\nKERNELOFFSET=1f000000\n", 0xffffffffa0300000, 3u << 20, 4u << 20},
      {"NUMBER(KERNEL_IMAGE_SIZE)=4194304\nSYMBOL(_stext)=ffffffff80300000\nNUMBER(phys_base)=0\n", 0xffffffff80300000, 3u << 20, 1u << 20},
      {"NUMBER(KERNEL_IMAGE_SIZE)=9223372036854775807\nSYMBOL(_stext)=ffffffffbff00000\nNUMBER(phys_base)=-1070596096\n", 0xffffffffbff00000, 2u << 20, 1u << 20},
  };
  for (const Case& each : cases) {
    MemorySnapshot snapshot = linux_guest(vmcoreinfo_with(each.lines));
    MemoryReader reader(snapshot);
    for (const By by : kWays) {
      const auto exported = export_core(reader, by);
      ASSERT_OK(exported);
      const ParsedCore core(*exported);
      ASSERT_EQ(core.memory.size(), 2u);
      EXPECT_EQ(core.memory[1].virtual_address, 2u << 20);  // without page tables
      ASSERT_EQ(core.image.size(), 1u) << each.lines;
      EXPECT_EQ(core.image[0].virtual_address, each.virtual_address) << each.lines;
      EXPECT_EQ(core.image[0].address, each.address) << each.lines;
      const Buffer ram = snapshot.bytes("ram");
      const auto begin = ram.begin() + static_cast<std::ptrdiff_t>(each.address < (2u << 20) ? each.address : each.address - (1u << 20));
      EXPECT_TRUE(core.image[0].content == Buffer(begin, begin + static_cast<std::ptrdiff_t>(each.bytes))) << each.lines;
      // And it is nothing new to an import.
      for (const By again : kWays) {
        const Import import = import_core(*exported, again);
        ASSERT_TRUE(import.ok()) << explain(import.error);
        EXPECT_TRUE(import.snapshot.bytes("ram") == ram);
        EXPECT_EQ(import.snapshot.find("ram")->info.placements.size(), 2u);
      }
    }
    const auto with = elf_layout(reader, {}, true);
    const auto without = elf_layout(reader, {}, false);
    ASSERT_OK(with);
    ASSERT_OK(without);
    EXPECT_EQ(with->size, without->size);
    EXPECT_EQ(with->parts.at(0).at, without->parts.at(0).at);
    EXPECT_LE(with->head.size(), with->parts[0].at);
  }
  // A core that has notes of its own stays as it came in; so does one of 32 bits, and one of another processor.
  const std::string text = vmcoreinfo_with(std::string(kNear) + "NUMBER(phys_base)=0\n");
  MemorySnapshot narrow = linux_guest(text);
  narrow.metadata["elf.class"] = "32";
  MemorySnapshot arm = linux_guest(text);
  arm.metadata["elf.machine"] = "183";
  MemorySnapshot own = linux_guest(text);
  add_region(own, RegionKind::kState, "elf.notes", noise(37, 1));
  for (MemorySnapshot* snapshot : {&narrow, &arm, &own}) {
    MemoryReader reader(*snapshot);
    const auto exported = export_core(reader, By::kPipe);
    ASSERT_OK(exported);
    const ParsedCore core(*exported);
    EXPECT_EQ(core.memory.size(), 2u);
    EXPECT_TRUE(core.image.empty());
  }
}

TEST(ElfKernel, ShowsNoImageThatCannotBe) {
  const std::string_view hostile[] = {
      "",
      "NUMBER(phys_base)=0\n",
      "SYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=\nSYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=0x0\nSYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=0 \nSYMBOL(_stext)=ffffffff80200000\n",
      "XNUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=1\nSYMBOL(_stext)=ffffffff80200000\n",  // within a page
      "NUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff80100000\n",  // the hole
      "NUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff80700000\n",  // past the end
      "NUMBER(phys_base)=0\nSYMBOL(_stext)=200000\n",
      "NUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffffffffffff\n",
      "NUMBER(phys_base)=0\nSYMBOL(_stext)=fffffffff80200000\n",
      "NUMBER(phys_base)=-536870912\nSYMBOL(_stext)=ffffffffa0200000\n",  // where modules are
      "NUMBER(phys_base)=-3145728\nSYMBOL(_stext)=ffffffff80200000\n",  // before the first byte
      "NUMBER(phys_base)=-9223372036854775808\nSYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=9223372036854771712\nSYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=18446744073709551616\nSYMBOL(_stext)=ffffffff80200000\n",
      "NUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff80200000\nNUMBER(KERNEL_IMAGE_SIZE)=0\n",
  };
  for (const std::string_view lines : hostile) {
    MemorySnapshot snapshot = linux_guest(vmcoreinfo_with(lines));
    MemoryReader reader(snapshot);
    const auto exported = export_core(reader, By::kPipe);
    ASSERT_OK(exported);
    const ParsedCore core(*exported);
    EXPECT_EQ(core.memory.size(), 2u) << lines;
    EXPECT_TRUE(core.image.empty()) << lines;
  }
}

/// A guest whose page tables have physical memory at `base`, in pages of 1 GiB, 2 MiB or 4 KiB (the first 2 MiB only): shift 30, 21, 12.
struct PagedGuest {
  std::uint64_t base = 0xffff890240000000;
  unsigned levels = 4;
  unsigned shift = 21;
  std::uint64_t top = 0xffffffff80300000;
  std::map<std::pair<unsigned, unsigned>, std::uint64_t> entries{};  ///< by table, 0 the topmost, and number: put over what is there

  static constexpr std::uint64_t kTables = 3u << 20;
  static constexpr std::uint64_t kFlags = 0x8000000000000063;

  MemorySnapshot make() const {
    char symbol[80];
    std::snprintf(symbol, sizeof symbol, "SYMBOL(swapper_pg_dir)=%llx\nNUMBER(pgtable_l5_enabled)=%d\n", static_cast<unsigned long long>(top), levels == 5);
    MemorySnapshot snapshot = linux_guest(vmcoreinfo_with("NUMBER(phys_base)=0\nSYMBOL(_stext)=ffffffff80200000\n" + std::string(symbol)));
    std::vector<Buffer> tables(6, Buffer(4096));
    const auto put = [&](unsigned table, unsigned number, std::uint64_t entry) { std::memcpy(&tables[table][number * 8], &entry, 8); };
    put(0, 0, kTables | kFlags);  // what is below the kernel is not looked at
    unsigned table = 0;
    for (unsigned level = levels - 1; 12 + 9 * level != shift; --level, ++table) put(table, base >> (12 + 9 * level) & 511, (kTables + (table + 1) * 4096) | kFlags);
    for (unsigned i = 0; i < 8; ++i) {
      const std::uint64_t large = shift == 12 ? 0 : 0x1080;  // with the bit of large pages that looks like one of the address
      if ((base >> shift & 511) + i < 512) put(table, static_cast<unsigned>(base >> shift & 511) + i, std::uint64_t{i} << shift | large | kFlags);
    }
    if (shift == 12) put(table - 1, 1, (2u << 20) | 0x80 | kFlags);
    for (const auto& [place, entry] : entries) put(place.first, place.second, entry);
    for (std::size_t i = 0; i < tables.size(); ++i) snapshot.regions[0].put(kTables - (1u << 20) + i * 4096, tables[i]);
    return snapshot;
  }

  /// Where the export shows the memory's first byte.
  std::uint64_t shown() const {
    MemorySnapshot snapshot = make();
    MemoryReader reader(snapshot);
    const auto exported = export_core(reader, By::kPipe);
    EXPECT_TRUE(exported.has_value());
    const ParsedCore core(*exported);
    EXPECT_EQ(core.image.size(), 1u);
    EXPECT_EQ(core.memory.at(1).virtual_address, core.memory.at(0).virtual_address + (2u << 20));
    const Import import = import_core(*exported, By::kPipe);
    EXPECT_TRUE(import.ok() && import.snapshot.bytes("ram") == snapshot.bytes("ram"));
    return core.memory[0].virtual_address;
  }
};

TEST(ElfKernel, ShowsMemoryAtItsVirtualAddresses) {
  for (const unsigned shift : {30u, 21u, 12u}) EXPECT_EQ(PagedGuest{.shift = shift}.shown(), 0xffff890240000000) << shift;
  EXPECT_EQ((PagedGuest{.base = 0xffff888000000000}.shown()), 0xffff888000000000);
  EXPECT_EQ((PagedGuest{.base = 0xff11000000000000, .levels = 5}.shown()), 0xff11000000000000);
  EXPECT_EQ((PagedGuest{.base = 0xff23456780000000, .levels = 5, .shift = 12}.shown()), 0xff23456780000000);
}

TEST(ElfKernel, ShowsPhysicalAddressesWherePageTablesAreNone) {
  constexpr std::uint64_t kFlags = PagedGuest::kFlags;
  constexpr std::uint64_t kTables = PagedGuest::kTables;
  constexpr unsigned kFirst = 0xffff890240000000 >> 39 & 511;
  constexpr unsigned kSecond = 0xffff890240000000 >> 30 & 511;
  const PagedGuest hostile[] = {
      {.top = 0x300000},
      {.top = 0xffffffff80300008},
      {.top = 0xffffffff80000000},  // before the image
      {.top = 0xffffffffffffe000},
      {.top = 0xffffffff80400000},                                      // noise
      {.entries = {{{0, kFirst}, 0}}},                                  // none
      {.entries = {{{0, kFirst}, kTables | kFlags}}},                   // goes round
      {.entries = {{{0, 256}, (1u << 20) | kFlags}}},                   // into a hole of the memory
      {.entries = {{{0, 256}, 0x000ffffffffff000 | kFlags}}},           // past its end
      {.entries = {{{1, kSecond}, 0}}},                                 // a table without entries
      {.entries = {{{2, 0}, (4u << 20) | 0x80 | kFlags}}},              // no whole GiB away
      {.entries = {{{2, 1}, (4u << 20) | 0x80 | kFlags}}},              // the tables are elsewhere
      {.entries = {{{2, 1}, 0}}},
      {.entries = {{{1, kSecond}, 0x0000ffffc0000000 | 0x80 | kFlags}}},  // more than all addresses below
      {.base = 0xffffffff80000000, .shift = 30},                        // over the image
  };
  for (const PagedGuest& guest : hostile) EXPECT_EQ(guest.shown(), 0u) << &guest - hostile;
}

}  // namespace
}  // namespace snap::test
