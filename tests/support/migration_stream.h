// SPDX-License-Identifier: Apache-2.0
// Migration streams of today's QEMU made byte by byte, without the library: what it reads was not written by it.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/old_vmstate.h"

namespace snap::test {

struct RamBlock {
  std::string name;
  Buffer content;
};
using Ram = std::vector<RamBlock>;

inline Ram blank_ram(std::initializer_list<std::pair<const char*, std::size_t>> blocks) {
  Ram ram;
  for (const auto& [name, pages] : blocks) ram.push_back({name, Buffer(pages * 4096)});
  return ram;
}

/// A page of one kind of content for each seed that is not 0.
inline Buffer page_like(unsigned seed) {
  Buffer page(4096);
  if (seed == 0) return page;
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < page.size(); i += seed % 3 == 0 ? 1 : 97) page[i] = static_cast<std::byte>(random());
  page[5] = std::byte{1};
  return page;
}

/// The delta as QEMU writes it: length of what is equal, length of what follows, that.
inline Buffer xbzrle_delta(const Buffer& before, const Buffer& after) {
  Buffer out;
  const auto length = [&](std::size_t value) {
    if (value > 0x7f) out.push_back(static_cast<std::byte>(value & 0x7f) | std::byte{0x80});
    out.push_back(static_cast<std::byte>(value > 0x7f ? value >> 7 : value));
  };
  for (std::size_t at = 0; at < after.size();) {
    const std::size_t equal = at;
    while (at < after.size() && before[at] == after[at]) ++at;
    if (at == after.size()) break;
    const std::size_t changed = at;
    while (at < after.size() && before[at] != after[at]) ++at;
    length(changed - equal);
    length(at - changed);
    out.insert(out.end(), after.begin() + static_cast<std::ptrdiff_t>(changed), after.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return out;
}

enum RamFlag : std::uint64_t {
  kFlagZero = 0x02,
  kFlagList = 0x04,
  kFlagPage = 0x08,
  kFlagEos = 0x10,
  kFlagContinue = 0x20,
  kFlagXbzrle = 0x40,
  kFlagHook = 0x80,
  kFlagCompressed = 0x100,
  kFlagMultifdFlush = 0x200,
};

/// Appends piece by piece. `bytes` may be changed between.
class MigrationStream {
 public:
  Buffer bytes;
  bool footers = true;
  std::uint32_t ram_id = 2;
  bool continues = true;  ///< records name their block only where it is another than before

  std::size_t size() const { return bytes.size(); }

  MigrationStream& number(std::uint64_t value, unsigned width) { return put_be(bytes, value, width), *this; }
  MigrationStream& text(std::string_view text) { return put_text(bytes, text), *this; }
  MigrationStream& name(std::string_view name) { return number(name.size(), 1).text(name); }
  MigrationStream& add(const Buffer& more) { return put(bytes, more), *this; }

  MigrationStream& magic(std::uint32_t version = 3) { return text("QEVM").number(version, 4); }
  MigrationStream& configuration(std::string_view machine) { return number(7, 1).number(machine.size(), 4).text(machine); }
  MigrationStream& subsection(std::string_view of, const Buffer& body) { return number(5, 1).name(of).number(1, 4).add(body); }
  MigrationStream& capabilities(const std::vector<std::string>& names) {
    Buffer body;
    put_be(body, names.size(), 4);
    for (const std::string& each : names) {
      put_be(body, each.size(), 1);
      put_text(body, each);
    }
    return subsection("configuration/capabilities", body);
  }
  /// An empty machine: the head of a machine type older than 2.4.
  MigrationStream& head(std::string_view machine = "pc-i440fx-7.2") {
    magic();
    footers = !machine.empty();
    return machine.empty() ? *this : configuration(machine);
  }

  /// START (1) or FULL (4).
  MigrationStream& begin(unsigned type, std::uint32_t id, std::string_view of, std::uint32_t version, std::uint32_t instance = 0) {
    return number(type, 1).number(id, 4).name(of).number(instance, 4).number(version, 4);
  }
  MigrationStream& footer(std::uint32_t id) { return footers ? number(0x7e, 1).number(id, 4) : *this; }
  MigrationStream& command(unsigned command, const Buffer& data = {}) {
    return number(8, 1).number(command, 2).number(data.size(), 2).add(data);
  }

  MigrationStream& start_ram(std::uint32_t version = 4) { return begin(1, ram_id, "ram", version); }
  MigrationStream& list(const Ram& ram) {
    std::uint64_t total = 0;
    for (const RamBlock& block : ram) total += block.content.size();
    number(total | kFlagList, 8);
    for (const RamBlock& block : ram) listed(block.name, block.content.size());
    return *this;
  }
  MigrationStream& listed(std::string_view block, std::uint64_t size) { return name(block).number(size, 8); }
  MigrationStream& eos() { return number(kFlagEos, 8).footer(ram_id); }
  /// A whole START section of RAM.
  MigrationStream& start_ram(const Ram& ram) { return start_ram().list(ram).eos(); }
  /// PART (2) or END (3) of RAM; eos() ends it.
  MigrationStream& part(unsigned type = 2) { return number(type, 1).number(ram_id, 4); }

  MigrationStream& word(std::string_view block, std::uint64_t page, std::uint64_t flag) {
    const bool same = continues && last_ == block;
    number(page * 4096 | flag | (same ? std::uint64_t{kFlagContinue} : 0), 8);
    if (!same) name(block);
    last_ = block;
    return *this;
  }
  MigrationStream& page(std::string_view block, std::uint64_t page, const Buffer& content) {
    return word(block, page, kFlagPage).add(content);
  }
  MigrationStream& zero(std::string_view block, std::uint64_t page, unsigned fill = 0) {
    return word(block, page, kFlagZero).number(fill, 1);
  }
  MigrationStream& xbzrle(std::string_view block, std::uint64_t page, const Buffer& delta) {
    return word(block, page, kFlagXbzrle).number(1, 1).number(delta.size(), 2).add(delta);
  }
  MigrationStream& compressed(std::string_view block, std::uint64_t page, const Buffer& content) {
    Buffer packed(compressBound(content.size()));
    uLongf size = packed.size();
    compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(content.data()), content.size(), 1);
    packed.resize(size);
    return word(block, page, kFlagCompressed).number(packed.size(), 4).add(packed);
  }

  /// A device's section, of no told length.
  MigrationStream& device(std::string_view of, const Buffer& body, std::uint32_t id = 9) { return begin(4, id, of, 1).add(body).footer(id); }
  MigrationStream& runstate(std::string_view state) {
    Buffer body;
    put_be(body, state.size() + 1, 4);
    put_text(body, state);
    body.resize(4 + 100);
    return device("globalstate", body, 8);
  }
  MigrationStream& eof() { return number(0, 1); }
  MigrationStream& description(std::string_view json = R"({"configuration": {}, "devices": []})") {
    return number(6, 1).number(json.size(), 4).text(json);
  }
  /// What stands behind the RAM of a small machine. A machine without footers has no description either.
  MigrationStream& tail() {
    runstate("paused").device("cpu", Buffer(300, std::byte{3})).eof();
    return footers ? description() : *this;
  }

  /// The list of a mapped-ram file, and each block's header, bitmap and pages where QEMU puts them. What the bitmap does not have is
  /// stale: no page of it counts.
  MigrationStream& mapped_list(const Ram& ram) {
    std::uint64_t total = 0;
    for (const RamBlock& block : ram) total += block.content.size();
    number(total | kFlagList, 8);
    for (const RamBlock& block : ram) mapped_block(block);
    return *this;
  }
  MigrationStream& mapped_block(const RamBlock& block) {
    const std::size_t pages = block.content.size() / 4096;
    Buffer bitmap((pages + 63) / 64 * 8);
    listed(block.name, block.content.size());
    const std::uint64_t bitmap_at = bytes.size() + 28;
    const std::uint64_t pages_at = (bitmap_at + bitmap.size() + kMiB - 1) / kMiB * kMiB;
    number(1, 4).number(4096, 8).number(bitmap_at, 8).number(pages_at, 8);
    Buffer content = block.content;
    for (std::size_t page = 0; page < pages; ++page) {
      const auto at = content.begin() + static_cast<std::ptrdiff_t>(page * 4096);
      if (std::all_of(at, at + 4096, [](std::byte b) { return b == std::byte{0}; })) {
        std::fill_n(at, 4096, std::byte{0xEE});
      } else {
        bitmap[page / 8] |= std::byte{1} << page % 8;
      }
    }
    add(bitmap);
    bytes.resize(pages_at);
    return add(content);
  }

 private:
  std::optional<std::string> last_;
};

/// All pages once, in order: what a stopped guest gives.
inline MigrationStream& put_pages(MigrationStream& stream, const Ram& ram) {
  for (const RamBlock& block : ram) {
    for (std::size_t page = 0; page * 4096 < block.content.size(); ++page) {
      const auto at = block.content.begin() + static_cast<std::ptrdiff_t>(page * 4096);
      const Buffer content(at, at + 4096);
      if (content == Buffer(4096)) {
        stream.zero(block.name, page);
      } else {
        stream.page(block.name, page, content);
      }
    }
  }
  return stream;
}

inline Buffer stopped_guest(const Ram& ram, std::string_view machine = "pc-i440fx-7.2") {
  MigrationStream stream;
  stream.head(machine).start_ram(ram).part();
  put_pages(stream, ram).eos().part(3).eos().tail();
  return stream.bytes;
}

/// A stream that is written and a plain model of what it means, side by side.
class ModelledGuest {
 public:
  explicit ModelledGuest(Ram blank) : ram(std::move(blank)) {
    for (const RamBlock& block : ram) seen_.emplace_back(block.content.size() / 4096);
  }
  Ram ram;
  MigrationStream stream;

  std::size_t pages(std::size_t block) const { return ram[block].content.size() / 4096; }
  bool seen(std::size_t block, std::size_t page) const { return seen_[block][page]; }
  Buffer at(std::size_t block, std::size_t page) const {
    const auto begin = ram[block].content.begin() + static_cast<std::ptrdiff_t>(page * 4096);
    return Buffer(begin, begin + 4096);
  }
  void page(std::size_t block, std::size_t page, const Buffer& content) {
    stream.page(ram[block].name, page, content);
    set(block, page, content);
  }
  void compressed(std::size_t block, std::size_t page, const Buffer& content) {
    stream.compressed(ram[block].name, page, content);
    set(block, page, content);
  }
  void fill(std::size_t block, std::size_t page, unsigned byte) {
    stream.zero(ram[block].name, page, byte);
    set(block, page, Buffer(4096, static_cast<std::byte>(byte)));
  }
  /// To what the page is to be, by the difference from what it is where that is smaller.
  void delta(std::size_t block, std::size_t page, const Buffer& content) {
    const Buffer delta = xbzrle_delta(at(block, page), content);
    if (delta.size() > 4096) return this->page(block, page, content);
    stream.xbzrle(ram[block].name, page, delta);
    set(block, page, content);
  }

 private:
  void set(std::size_t block, std::size_t page, const Buffer& content) {
    std::copy(content.begin(), content.end(), ram[block].content.begin() + static_cast<std::ptrdiff_t>(page * 4096));
    seen_[block][page] = true;
  }
  std::vector<std::vector<bool>> seen_;
};

}  // namespace snap::test
