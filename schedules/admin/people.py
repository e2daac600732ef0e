"""Users and groups: Django's own pages, dressed by unfold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth import admin as django_admin
from django.contrib.auth.models import Group, User
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from schedules.admin.addresses import AddressedAdmin

if TYPE_CHECKING:
    DjangoUserAdmin = django_admin.UserAdmin[User]
else:
    DjangoUserAdmin = django_admin.UserAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AddressedAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    readonly_fields = ("last_login", "date_joined")


@admin.register(Group)
class GroupAdmin(django_admin.GroupAdmin, AddressedAdmin):
    pass
