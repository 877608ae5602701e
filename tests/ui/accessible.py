# SPDX-License-Identifier: Apache-2.0
"""What a screen reader knows of a program, read over D-Bus in one go: GTK keeps a list of all its accessible widgets
(org.a11y.atspi.Cache), and asking for it takes milliseconds where a question a widget takes a good part of a second.

    root = Reader().application('zimage-studio')
    for node in root.walk(): print(node.role, node.name)

A node is what its widget was when it was read; states(), text(), value and the like ask again."""
import gi
gi.require_version('Atspi', '2.0')
from gi.repository import Atspi, Gio, GLib

ROOT = '/org/a11y/atspi/accessible/root'
A11Y = 'org.a11y.atspi.'

class Gone(Exception):
    """the widget, or the program, is not there any more"""

def states_of(words):
    """the names of the states that are set: 'showing', 'sensitive', 'focused' …"""
    bits = words[0] | words[1] << 32
    return {s.value_nick for s in map(Atspi.StateType, range(Atspi.StateType.LAST_DEFINED)) if bits >> int(s) & 1}

class Node:
    def __init__(self, reader, item):
        (self.bus, self.path), _, _, _, self.n_kids, _, self.name, role, _, self._words = item
        self.reader, self.role = reader, Atspi.role_get_name(Atspi.Role(role))
        self.parent, self.kids = None, []

    def call(self, interface, method, args=None):
        return self.reader.call(self.bus, self.path, A11Y + interface, method, args)
    def get(self, interface, name):
        return self.reader.call(self.bus, self.path, 'org.freedesktop.DBus.Properties', 'Get',
                                GLib.Variant('(ss)', (A11Y + interface, name)))[0]
    def walk(self):
        yield self
        for kid in self.kids: yield from kid.walk()

    def was(self, *states):
        """whether any of the states was set when the node was read"""
        bits = self._words[0] | self._words[1] << 32
        return any(bits >> int(getattr(Atspi.StateType, s.upper())) & 1 for s in states)
    def states(self): return states_of(self.call('Accessible', 'GetState')[0])
    def text(self): return self.call('Text', 'GetText', GLib.Variant('(ii)', (0, -1)))[0]
    def extents(self):
        """x, y, width and height within its window"""
        return self.call('Component', 'GetExtents', GLib.Variant('(u)', (1,)))[0]
    def actions(self):
        return [self.call('Action', 'GetName', GLib.Variant('(i)', (i,)))[0] for i in range(self.get('Action', 'NActions'))]
    def act(self, i): self.call('Action', 'DoAction', GLib.Variant('(i)', (i,)))
    @property
    def value(self): return self.get('Value', 'CurrentValue')
    @value.setter
    def value(self, value):
        self.reader.call(self.bus, self.path, 'org.freedesktop.DBus.Properties', 'Set',
                         GLib.Variant('(ssv)', (A11Y + 'Value', 'CurrentValue', GLib.Variant('d', value))))

class Reader:
    def __init__(self, timeout_s=20):
        self.timeout_ms, self.buses = timeout_s * 1000, {}
        session = Gio.bus_get_sync(Gio.BusType.SESSION)
        address = session.call_sync('org.a11y.Bus', '/org/a11y/bus', 'org.a11y.Bus', 'GetAddress', None, None, 0, -1, None).unpack()[0]
        self.connection = Gio.DBusConnection.new_for_address_sync(
            address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.announced = []         # what programs had said, the oldest first
        self.connection.signal_subscribe(None, A11Y + 'Event.Object', 'Announcement', None, None, Gio.DBusSignalFlags.NONE,
                                         lambda *signal: self.announced.append(signal[5].unpack()[3]))

    def call(self, bus, path, interface, method, args=None):
        try: return self.connection.call_sync(bus, path, interface, method, args, None, 0, self.timeout_ms, None).unpack()
        except GLib.Error as e: raise Gone('%s of %s: %s' % (method, path, e.message))

    def announcements(self):
        """all since the last time"""
        while GLib.MainContext.default().iteration(False): pass
        said, self.announced = self.announced, []
        return said

    def application(self, name):
        """the root of the application's widgets, or None; its windows are the kids"""
        bus = self.buses.get(name)
        if bus:
            try: return self.tree(bus)
            except Gone: del self.buses[name]
        for bus, path in self.call(A11Y + 'Registry', ROOT, A11Y + 'Accessible', 'GetChildren')[0]:
            try: is_it = name in self.call(bus, path, 'org.freedesktop.DBus.Properties', 'Get',
                                           GLib.Variant('(ss)', (A11Y + 'Accessible', 'Name')))[0]
            except Gone: continue
            if is_it:
                self.buses[name] = bus
                return self.tree(bus)
        return None

    def tree(self, bus):
        """All that can be seen.  Of GTK's list only what a widget is can be believed; it has also what was hidden since, and
        GTK 4.18's lacks what nobody asked for yet.  So whose kids they are is asked, of all of one depth at once."""
        for _ in range(10):
            nodes = self.list(bus)
            root = nodes.get(ROOT)
            if not root: raise Gone('the program has no root')
            level, is_whole = [root], True
            while level:
                is_whole &= self.fill([node for node in level if node.n_kids > 0 or node is root], nodes)
                level = [kid for node in level for kid in node.kids]
            if is_whole: break
        return root

    def list(self, bus):
        items = self.call(bus, '/org/a11y/atspi/cache', A11Y + 'Cache', 'GetItems')[0]
        return {node.path: node for node in (Node(self, item) for item in items)}

    def fill(self, parents, nodes):
        """sets their kids; False if one is not among NODES"""
        answers = {}
        def on_answer(connection, result, node):
            try: answers[node.path] = connection.call_finish(result).unpack()[0]
            except GLib.Error: answers[node.path] = []
        for node in parents:
            self.connection.call(node.bus, node.path, A11Y + 'Accessible', 'GetChildren', None, None, 0, self.timeout_ms, None,
                                 on_answer, node)
        while len(answers) < len(parents): GLib.MainContext.default().iteration(True)
        is_whole = True
        for node in parents:
            for _, path in answers[node.path]:
                if path not in nodes: is_whole = False
                elif not nodes[path].parent:
                    nodes[path].parent = node
                    node.kids.append(nodes[path])
        return is_whole
