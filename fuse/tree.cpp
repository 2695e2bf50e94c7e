// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "names.h"

namespace snap::view {

namespace {

constexpr std::uint64_t kMostFileBytes = INT64_MAX;
constexpr std::uint64_t kMostMapBytes = std::uint64_t{4} << 30;  // of changes in over a terabyte

Error io_error(const char* what) { return Error{.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(errno), .what = what}; }

/// All of the guest's memory by guest-physical address. Of ranges that overlap the one that begins first counts; what lies where no
/// file can reach is left out.
std::unique_ptr<File> physical_file(Reader& reader, const std::vector<PhysicalRange>& ranges) {
  std::vector<Stretch> stretches;
  std::uint64_t end = 0;
  for (const PhysicalRange& range : ranges) {
    const std::uint64_t hidden = range.guest_address < end ? end - range.guest_address : 0;
    if (hidden >= range.length || range.guest_address > kMostFileBytes || range.length > kMostFileBytes - range.guest_address) continue;
    stretches.push_back({range.guest_address + hidden, range.length - hidden, range.region, range.offset + hidden});
    end = range.guest_address + range.length;
  }
  auto file = std::make_unique<File>(reader, std::move(stretches), end);
  file->set_mapped();
  return file;
}

std::unique_ptr<File> region_file(Reader& reader, std::size_t region) {
  const std::uint64_t size = reader.regions()[region].size;
  std::vector<Stretch> stretches;
  if (size != 0) stretches.push_back({0, size, region, 0});
  auto file = std::make_unique<File>(reader, std::move(stretches), size);
  if (reader.regions()[region].kind == RegionKind::kMemory) file->set_mapped();
  return file;
}

/// The ELF core, whose notes are made when it is opened: they take reading all memory.
std::unique_ptr<File> elf_file(Reader& reader, unsigned threads, const std::atomic<bool>& cancel) {
  const auto layout = elf_layout(reader, {.threads = threads}, false);
  if (!layout) return nullptr;
  std::vector<Stretch> stretches;
  for (const ElfLayout::Part& part : layout->parts) stretches.push_back({part.at, reader.regions()[part.region].size, part.region, 0});
  auto file = std::make_unique<File>(reader, std::move(stretches), layout->size);
  file->prepare_with([&reader, &cancel, threads](File& self) -> Result<void> {
    auto whole = elf_layout(reader, {.threads = threads, .cancel = &cancel}, true);
    // Damage anywhere in the memory costs the note, not the file.
    if (!whole) whole = elf_layout(reader, {}, false);
    if (!whole) return whole.error();
    self.set_head(std::move(whole->head));
    return {};
  });
  return file;
}

/// Ends with what is written there, or where somebody waits for the end.
class SpoolSink final : public ByteSink {
 public:
  SpoolSink(int fd, const std::atomic<bool>& cancel) : inner_(stream_sink(fd)), cancel_(cancel) {}
  Result<void> write(std::span<const std::byte> bytes) override {
    if (cancel_) return Error{.code = Code::kCancelled, .what = "the mount ends"};
    if (bytes.size() > left_) return Error{.code = Code::kLimit, .what = "map.json would be too long; `vmsnap map` writes it out"};
    left_ -= bytes.size();
    return inner_->write(bytes);
  }

 private:
  std::unique_ptr<ByteSink> inner_;
  const std::atomic<bool>& cancel_;
  std::uint64_t left_ = kMostMapBytes;
};

/// map.json may be long and takes reading all page maps: it is made when it is opened, in a file without a name.
Result<void> spool_map(Source& source, const std::atomic<bool>& cancel, File& file) {
  const char* const chosen = std::getenv("TMPDIR");
  const int fd = ::open(chosen != nullptr && *chosen != '\0' ? chosen : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return io_error("cannot make a temporary file");
  SpoolSink sink(fd, cancel);
  struct stat status {};
  auto done = source.write_map_json(sink);
  if (done && ::fstat(fd, &status) != 0) done = io_error("cannot look at a temporary file");
  if (!done) {
    ::close(fd);
    return done;
  }
  file.set_spool(fd, static_cast<std::uint64_t>(status.st_size));
  return {};
}

/// What a read takes beside the cache is a few blocks of each file of a chain: of large blocks, or long chains, fewer reads go on at once.
std::ptrdiff_t reads_at_once(Reader& reader) {
  constexpr std::size_t kBytes = 12u << 20;
  constexpr std::size_t kBlocksOfARead = 3;
  std::size_t of_a_read = 0;
  for (Reader* each = &reader; each != nullptr; each = each->parent()) of_a_read += kBlocksOfARead * each->block_bytes();
  return static_cast<std::ptrdiff_t>(std::max<std::size_t>(1, kBytes / of_a_read));
}

}  // namespace

Tree::Tree(std::shared_ptr<Source> source, unsigned threads, const std::atomic<bool>& cancel)
    : source_(std::move(source)), threads_(threads), cancel_(cancel), gate_(reads_at_once(source_->reader())) {
  note_used();
  nodes_.emplace_back();
  add_regions();
  add_physical();
  add_texts();
  add_parent();
}

std::size_t Tree::add(std::size_t folder, std::string name, NodeKind kind) {
  const std::size_t index = nodes_.size();
  nodes_.push_back({.kind = kind, .name = std::move(name), .up = folder});
  nodes_[folder].children.push_back(index);
  return index;
}

void Tree::add_file(std::size_t folder, std::string name, std::unique_ptr<File> file) {
  if (!file) return;
  file->set_gate(gate_);
  nodes_[add(folder, std::move(name), NodeKind::kFile)].file = std::move(file);
}

void Tree::add_physical() {
  const auto ranges = physical_ranges(reader());
  if (!ranges) return;  // nothing says where the guest sees anything
  add_ram(*ranges);
  add_file(kRoot, "ram.elf", elf_file(reader(), threads_, cancel_));
}

// Where it is a region as it stands, both names are one file, so that the kernel keeps it once.
void Tree::add_ram(const std::vector<PhysicalRange>& ranges) {
  const auto is_whole = [&](const Node& node) {
    if (!node.file || nodes_[node.up].name != "regions" || node.file->stretches().size() != 1 || ranges.size() != 1) return false;
    const Stretch& all = node.file->stretches()[0];
    return ranges[0].guest_address == 0 && ranges[0].offset == 0 && ranges[0].region == all.region && ranges[0].length == all.length;
  };
  const auto whole = std::find_if(nodes_.begin(), nodes_.end(), is_whole);
  if (whole == nodes_.end()) return add_file(kRoot, "ram", physical_file(reader(), ranges));
  const std::size_t same = static_cast<std::size_t>(whole - nodes_.begin());
  nodes_[add(kRoot, "ram", NodeKind::kSameFile)].same = same;
}

void Tree::add_regions() {
  const std::size_t regions = add(kRoot, "regions", NodeKind::kFolder);
  const std::size_t states = add(kRoot, "state", NodeKind::kFolder);
  for (std::size_t i = 0; i < reader().regions().size(); ++i) {
    const RegionInfo& info = reader().regions()[i];
    add_file(info.kind == RegionKind::kMemory ? regions : states, file_name(info.name, i), region_file(reader(), i));
  }
}

void Tree::add_texts() {
  add_file(kRoot, "info.json", std::make_unique<File>(reader(), source_->info_json()));
  auto map = std::make_unique<File>(reader(), std::string());
  map->set_grows();
  map->prepare_with([this](File& self) { return spool_map(*source_, cancel_, self); });
  add_file(kRoot, "map.json", std::move(map));
}

void Tree::add_parent() {
  if (const std::string folder = source_->parent_folder(); !folder.empty()) {
    nodes_[add(kRoot, "parent", NodeKind::kLink)].target = "../" + folder;
  } else if (source_->parent() != nullptr) {
    add(kRoot, "parent", NodeKind::kParent);
  }
}

std::size_t Tree::find(std::size_t folder, std::string_view name) const {
  const auto& children = nodes_[folder].children;
  const auto at = std::find_if(children.begin(), children.end(), [&](std::size_t child) { return nodes_[child].name == name; });
  return at == children.end() ? 0 : *at;
}

unsigned Tree::parent_opened() const {
  const std::lock_guard lock(mutex_);
  return parent_ == nullptr ? 0 : parent_->opened_ + parent_->parent_opened();
}

std::shared_ptr<Tree> Tree::parent() {
  const std::lock_guard lock(mutex_);
  if (!parent_) parent_ = std::make_shared<Tree>(source_->parent(), threads_, cancel_);
  return parent_;
}

}  // namespace snap::view
